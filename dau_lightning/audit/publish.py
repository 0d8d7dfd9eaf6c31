"""Shows the findings of an audit where people look for a run: on its page, in its model card, and in Weights & Biases."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from dau_lightning.report.model_card import model_card
from dau_lightning.report.page import write_run_page
from dau_lightning.report.read import Run
from dau_lightning.storage.atomic import write_text
from dau_lightning.tracking.wandb import WandB, loggers
from dau_lightning.tracking.wandb_summary import place

FOLDER = "audit"  # in the run folder, for the run of W&B
OWN = "value", "error"  # numbers of a figure that are no details


def publish(run: Run, content: Mapping[str, Any]) -> None:
    """Draw the page again if the run has one, write the model card again, and send figures and verdicts to W&B.

    The run of W&B has ended: the audit is a run of its own in the same group, of the job type `audit`.

    Args:
        run: the run.
        content: of its `audit.json`.
    """
    if (run.folder / "report.html").is_file():
        write_run_page(run.result, run.folder)
    if (run.folder / "model_card.md").is_file():
        write_text(run.folder / "model_card.md", model_card(run.result, content["summary"]))
    settings = run.result["settings"]
    if settings["wandb"]["mode"] == "disabled":
        return
    where = place(run.result, settings, run.folder)
    where |= {"name": f"audit of {where['name']}", "job_type": "audit"}
    (run.folder / FOLDER).mkdir(exist_ok=True)
    with loggers(run.folder / FOLDER, **settings["wandb"], settings=settings, **where) as made:
        for logger in made:
            if isinstance(logger, WandB):
                logger.attempt(partial(logger.experiment.log, shown(content)))


def shown(content: Mapping[str, Any]) -> dict[str, float | str]:
    """Figures, verdicts and the summary of an audit, by their names in the summary of W&B."""
    values: dict[str, float | str] = {"audit/summary": content["summary"]}
    for name, test in content["tests"].items():
        values[f"audit/{name}/verdict"] = test["verdict"]
        for kind, figure in test["figures"].items():
            details = {f"audit/{name}/{kind}/{detail}": number for detail, number in figure.items() if detail not in OWN}
            values |= {f"audit/{name}/{kind}": figure["value"], **details}
    return values
