"""A page in Weights & Biases that compares methods, schemes and seeds of a project: `python -m dau_lightning.workspace`."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, one_line

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

# Bars show the mean over a group of seeds. Names of distances end in `.min`, since the summary keeps their lowest value.
BARS = {
    "Distance to Retrain (lower is better)": [
        "method/disparity.min",
        *(f"method/gaps/{c}.min" for c in ("UA", "MIA", "RA", "TA")),
        "method/AUC_gap.min",
    ],
    "Selection score, where there is no Retrain (lower is better)": ["method/score.min"],
    "Numbers (none is good high or low)": [f"method/{column}" for column in ("UA", "MIA", "RA", "TA", "AUC", "TA_forgotten")],
    "Attacks": [f"method/attacks/{name}" for name in ("confidence", "entropy", "modified_entropy", "probability")],
    "Trigger rate of a backdoor (lower is better)": ["method/trigger_rate.min"],
    "Time (lower is better)": ["method/seconds.min", "method/time_ratio.min"],
}
LINES = [f"dynamics/{name}" for name in ("UA", "MIA", "RA", "TA", "attacker")]
PICTURES = [f"figures/{name}" for name in ("attacks", "dynamics", "confidence", "roc", "features", "sheet")]
AUDIT_PICTURES = [f"figures/{name}" for name in ("audit", "exposure", "exposed")]

AUDIT_FIGURES = "Figures of the audits (Retrain's are right)"

CLOSED = "Pictures", "Rows", AUDIT_FIGURES, "Pictures of the audits"  # sections until someone opens them


def workspace(entity: str, project: str) -> "Workspace":
    """The page. It groups runs that may be compared, then methods, averages over seeds, and shows bars, lines and pictures.

    Args:
        entity: the user or team in W&B.
        project: the project in which the runs are.
    """
    import wandb_workspaces.reports.v2 as panels
    from wandb_workspaces import workspaces

    shown: dict[str, list[Any]] = {
        name: [panels.BarPlot(title=metric.removeprefix("method/"), metrics=[metric]) for metric in metrics]
        for name, metrics in BARS.items()
    }
    line: dict[str, Any] = {"x": "Step", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    shown["Trajectory of the unlearning"] = [panels.LinePlot(title=name, y=[name], **line) for name in LINES]
    shown |= _audit(panels)
    shown["Pictures"] = [panels.MediaBrowser(media_keys=PICTURES)]
    shown["Rows"] = [panels.WeavePanelSummaryTable(table_name="rows")]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="Methods against Retrain",
        sections=[workspaces.Section(name=name, panels=each, is_open=name not in CLOSED) for name, each in shown.items()],
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("Group"), workspaces.Metric("JobType")],
            order=[workspaces.Ordering(workspaces.Summary("method/disparity.min"), ascending=True)],
        ),
    )


def audit_metrics() -> list[str]:
    """The figure of the unlearned model in every test of an audit."""
    return [f"audit/{path.stem}/method" for path in sorted((CONFIG_FOLDER / "audit").glob("*.yaml"))]


def _audit(panels: Any) -> dict[str, list[Any]]:
    """Sections about audits, whose runs have the job type `audit of METHOD`."""
    counts = [panels.BarPlot(title=f"tests {word}", metrics=[f"audit/{word}"]) for word in ("passed", "failed")]
    bars = [panels.BarPlot(title=metric.split("/")[1], metrics=[metric]) for metric in audit_metrics()]
    return {
        "Verdicts of the audits": [*counts, panels.WeavePanelSummaryTable(table_name="verdicts")],
        AUDIT_FIGURES: bars,
        "Pictures of the audits": [panels.MediaBrowser(media_keys=AUDIT_PICTURES)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Save the page in W&B, or print it as JSON.

    Raises:
        InputError: the extra `workspace` is not installed, or `--entity` is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m dau_lightning.workspace", description="Make a comparison page in W&B.")
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY", ""), help="user or team (WANDB_ENTITY)")
    parser.add_argument("--project", default="dau-lightning", help="the project of the runs")
    parser.add_argument("--print", action="store_true", help="print the page as JSON, without any network")
    options = parser.parse_args(arguments)
    try:
        made = workspace(options.entity, options.project)
    except ImportError as error:
        raise InputError(f"this needs the extra workspace: pip install --editable '.[workspace]' ({error})") from error
    if options.print:
        from pydantic import TypeAdapter

        print(TypeAdapter(type(made)).dump_json(made, indent=2, exclude_defaults=True).decode())
        return
    if not options.entity:
        raise InputError("--entity must name the user or team whose project it is, got nothing; --print needs none")
    print(made.save().url)


if __name__ == "__main__":
    with one_line():
        main()
