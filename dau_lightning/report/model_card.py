"""The model card that goes with unlearned weights: what was forgotten and how, the evidence, and how to load the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dau_lightning.data.request import by_class
from dau_lightning.evaluation.checks import all_warnings, failure
from dau_lightning.network.build import arguments, library_of
from dau_lightning.report.columns import column
from dau_lightning.report.read import Run
from dau_lightning.report.render import render
from dau_lightning.report.rows import rows_of
from dau_lightning.report.section import beside, few_images, sections
from dau_lightning.report.text import markdown_table


def model_card(result: Mapping[str, Any], audit: str = "") -> str:
    """Markdown from the content of a `result.json` and the summary of an audit."""
    run = Run(Path(), result)
    rows = rows_of([run])
    (section,) = sections(rows)
    families = [section.tables[family] for family in ("accuracy", "score", "disparity") if family in section.tables]
    (table,) = beside(families, lambda _: True)
    shown = [column(name) for name, _ in table.columns]
    made_by_user = result["start"].get("source") == "model"
    about = dict(zip(("dataset", "network"), run.names[:2], strict=True))
    return render(
        "model_card.md",
        **{**result, **about, "warnings": all_warnings(result), "settings": run.method.items()},
        transform=result["settings"]["transform"],
        failure=failure(result),
        audit=audit,
        row=result["rows"][result["baseline"]],
        forgotten=by_class(result["request"]["classes"]),
        load_lines=load_lines(
            result["settings"]["network"], len(result["class_names"]), result["image_shape"][0], made_by_user
        ),
        table=markdown_table(table),
        attacks=markdown_table(section.tables["attack"]) if "attack" in section.tables else "",
        notes=[f"{each.heading}: {each.meaning}." for each in shown if each.family != "accuracy"] + few_images(rows),
    )


def load_lines(network: Mapping[str, Any], num_classes: int, channels: int, made_by_user: bool = False) -> list[str]:
    """Lines of Python that load `unlearned.safetensors`; networks of torchvision and timm do not need this package.

    Args:
        network: the settings.
        num_classes: number of logits.
        channels: of the images.
        made_by_user: whether the caller of `unlearn` passed the network as an object, which only the caller can make again.
    """
    module, _, kind = network["_target_"].rpartition(".")
    if library := library_of(network):
        make = library.lines_of_python(network["name"], num_classes, channels)
    elif made_by_user:
        make = [f"# model: the {kind} of {module} with {num_classes} classes, made as for its training"]
    else:
        keywords = ", ".join(f"{name}={value!r}" for name, value in arguments(network, num_classes, channels).items())
        make = [f"from {module} import {kind}", f"model = {kind}({keywords})"]
    load = 'model.load_state_dict(load_file("unlearned.safetensors"))'
    return ["from safetensors.torch import load_file", *make, load, "model.eval()"]
