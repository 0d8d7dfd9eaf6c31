"""Shows the findings of an audit where people look for a run: on its page, in its model card, and in Weights & Biases."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dau_lightning.audit.table import HEADINGS
from dau_lightning.report.model_card import model_card
from dau_lightning.report.page import write_run_page
from dau_lightning.report.read import Run
from dau_lightning.storage.atomic import write_text
from dau_lightning.storage.audit_file import FAIL, PASS, figures
from dau_lightning.tracking.wandb import loggers, send
from dau_lightning.tracking.wandb_summary import images, place

FOLDER = "audit"  # in the run folder, for the run of W&B
PICTURES = "audit", "exposure", "exposed"  # of the page, by the audit
OWN = "value", "error"  # numbers of a figure that are no details


def publish(run: Run, content: Mapping[str, Any]) -> None:
    """Draw the page again if the run has one, write the model card again, and send figures and verdicts to W&B.

    The run of W&B has ended: the audit is a run of its own in the same group, of the job type `audit of METHOD`.

    Args:
        run: the run.
        content: of its `audit.json`.
    """
    has_page = (run.folder / "report.html").is_file()
    drawn = write_run_page(run.result, run.folder) if has_page else {}
    if (run.folder / "model_card.md").is_file():
        write_text(run.folder / "model_card.md", model_card(run.result, content["summary"]))
    settings = run.result["settings"]
    if settings["wandb"]["mode"] == "disabled":
        return
    where = place(run.result, settings, run.folder)
    where |= {name: f"audit of {where[name]}" for name in ("name", "job_type")}  # W&B groups by the latter: by method
    (run.folder / FOLDER).mkdir(exist_ok=True)
    with loggers(run.folder / FOLDER, **settings["wandb"], settings=settings, **where) as made:
        send(made, partial(log, content=content, drawn=drawn))


def log(run: Any, content: Mapping[str, Any], drawn: Mapping[str, bytes]) -> None:
    """Send what `shown` gives, a table of the verdicts and the pictures of the audit to a run of W&B.

    Args:
        run: the run there.
        content: of `audit.json`.
        drawn: the pictures of the page by file name.
    """
    import wandb

    keys = "noise", "tolerance", "verdict", "why"
    cells = [[name, *figures(test).values(), *(test[key] for key in keys)] for name, test in content["tests"].items()]
    table = wandb.Table(columns=["test", *HEADINGS.values(), *keys], data=list[Any](cells))
    own = {name: file for name, file in drawn.items() if Path(name).stem in PICTURES}
    run.log({**shown(content), "verdicts": table, **{f"figures/{name}": image for name, image in images(own).items()}})


def shown(content: Mapping[str, Any]) -> dict[str, float | str]:
    """Figures, verdicts, their counts and the summary of an audit, by their names in the summary of W&B."""
    verdicts = [test["verdict"] for test in content["tests"].values()]
    values: dict[str, float | str] = {"audit/summary": content["summary"]}
    values |= {f"audit/{name}": verdicts.count(word) for name, word in (("passed", PASS), ("failed", FAIL))}
    for name, test in content["tests"].items():
        values[f"audit/{name}/verdict"] = test["verdict"]
        for kind, value in figures(test).items():
            if value is not None:
                details = test["figures"][kind].items()
                own = {f"audit/{name}/{kind}/{detail}": number for detail, number in details if detail not in OWN}
                values |= {f"audit/{name}/{kind}": value, **own}
    return values
