"""What runs are called where they stand beside each other: their choices, and what tells runs of one choice apart."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def called(
    names: Mapping[str, str], settings: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]
) -> tuple[str, str, str]:
    """Dataset, network and scheme of a run; only runs that are called the same can share a table.

    A network bears its own name beside that of its library, a list its name and 8 hex digits of what it says, a later request
    the run from which it goes on.

    Args:
        names: the choices `dataset`, `network` and `scheme`.
        settings: the composed configuration.
        files: SHA-256 of the files that the settings name, see `folder.given_files`.

    >>> called({"dataset": "digits", "network": "timm", "scheme": "random"}, {"network": {"name": "resnet10t"}}, {})
    ('digits', 'timm resnet10t', 'random')
    """
    network, scheme = (settings.get(name, {}) for name in ("network", "scheme"))
    own = network["_target_"].rpartition(".")[2] if names["network"] == "own" else None
    words = [names["scheme"]]
    if file := scheme.get("file"):
        if known := files.get("scheme.file"):
            said = known["sha256"], scheme.get("where"), scheme.get("column")
            words.append(hashlib.sha256(repr(said).encode()).hexdigest()[:8])
        words.append(Path(file).name)
    words += [f"after {Path(settings['continue_from']).name}"] if settings.get("continue_from") else []
    words += [f"where {scheme['where']}"] if scheme.get("where") else []
    return names["dataset"], " ".join(filter(None, [names["network"], own, network.get("name")])), " ".join(words)
