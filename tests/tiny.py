"""Settings of a run that takes a second, for the real entry point, and what such runs left."""

import json
from pathlib import Path
from typing import Any

TINY = [
    "dataset=digits",
    "wandb.mode=disabled",
    "figures=false",
    "dynamics=0",
    "dataset.train_limit=200",
    "dataset.test_limit=100",
    "recipe.epochs=2",
    "trainer.accelerator=cpu",
]


def results() -> dict[Path, dict[str, Any]]:
    """What stands in every `result.json` below `runs`, by folder."""
    return {path.parent: json.loads(path.read_text()) for path in sorted(Path("runs").rglob("result.json"))}
