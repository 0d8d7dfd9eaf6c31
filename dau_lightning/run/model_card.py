"""The model card that is handed over with unlearned weights: what was forgotten and how, the evidence, and how to load them."""

from collections.abc import Iterator, Mapping
from typing import Any

from dau_lightning.data.request import by_class
from dau_lightning.evaluation.checks import all_warnings
from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.network.build import arguments, library_of
from dau_lightning.storage.run_name import called


def model_card(result: Mapping[str, Any]) -> str:
    """Markdown from the content of a `result.json`."""
    settings, request, name = result["settings"], result["request"], result["baseline"]
    row, channels = result["rows"][name], result["image_shape"]
    dataset, network, _ = called(result, settings, result["files"])
    where = f" where `{request['where']}`" if "where" in request else ""
    files = [f"- {setting}: `{file['name']}`, SHA-256 `{file['sha256']}`" for setting, file in result["files"].items()]
    warnings = [f"- {': '.join(filter(None, about))}" for about in all_warnings(result)] or ["- none"]
    return "\n".join(
        [
            f"# {network} on {dataset}, unlearned",
            "",
            f"By this request {request['count']:,} training images were to be forgotten ({by_class(request['classes'])}); "
            f"with earlier requests {result['counts']['forget']:,} of {result['counts']['train']:,}.",
            f"Method: {row['label']} (`baseline={name}`), seed {result['seed']}, {row['seconds']:.1f} s.",
            f"Scheme: {result['scheme']}{where}, SHA-256 of the sorted ids `{request['sha256']}`.",
            *files,
            "",
            "## Load it",
            "",
            "```python",
            *loading(settings["network"], len(result["class_names"]), channels[0], result["start"].get("source") == "model"),
            "```",
            "",
            f"Input: float `(B, {channels[0]}, {channels[1]}, {channels[2]})`, pixels in [0, 1] less the mean "
            f"{settings['transform']['mean']}, divided by {settings['transform']['std']}. "
            f"Classes in order: {', '.join(result['class_names'])}.",
            "",
            "## Outputs",
            "",
            *_evidence(result),
            "",
            f"data_hash `{result['data_hash']}`  ",
            f"split_hash `{result['split_hash']}`",
            "",
            "## Warnings",
            "",
            *warnings,
            "",
            f"## Settings of {row['label']}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in _flat(settings["baseline"])),
            "",
        ]
    )


def _flat(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values; an object is its class's or function's name, and its settings follow."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{name}.")
        elif name == "_target_" and within:
            yield within[:-1], value.rpartition(".")[2]
        elif not name.startswith("_"):
            yield within + name, "none" if value is None else value


def loading(network: Mapping[str, Any], num_classes: int, channels: int, given: bool = False) -> list[str]:
    """Lines of Python that load `unlearned.safetensors`, of torchvision and timm without this package.

    Args:
        network: the settings.
        num_classes: number of logits.
        channels: of the images.
        given: whether the network was made by the code of somebody else, who alone knows how.
    """
    module, _, kind = network["_target_"].rpartition(".")
    if library := library_of(network):
        make = library.lines_of_python(network["name"], num_classes, channels)
    elif given:
        make = [f"# model: the {kind} of {module} with {num_classes} classes, made as for its training"]
    else:
        keywords = ", ".join(f"{name}={value!r}" for name, value in arguments(network, num_classes, channels).items())
        make = [f"from {module} import {kind}", f"model = {kind}({keywords})"]
    weights = 'model.load_state_dict(load_file("unlearned.safetensors"))'
    return ["from safetensors.torch import load_file", *make, weights, "model.eval()"]


def _evidence(result: Mapping[str, Any]) -> list[str]:
    """The rows of the run as a table, and what its numbers are."""
    rows = result["rows"].values()
    scores = [name for name in ("disparity", "score") if any(name in row for row in rows)]
    attacks = list(next(iter(rows)).get("attacks", {}))
    header = ["", *COLUMNS, *scores, *(f"attack {name}" for name in attacks)]
    lines = ["| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
    for row in rows:
        numbers = [row.get(column) for column in (*COLUMNS, *scores)] + [row.get("attacks", {}).get(name) for name in attacks]
        cells = ["-" if number is None else f"{number:.2f}" for number in numbers]
        lines.append("| " + " | ".join([row["label"], *cells]) + " |")
    reference = {
        "disparity": "disparity: mean distance to Retrain over UA, MIA, RA and TA, lower is better.",
        "score": "No Retrain was made; score is the selection score against images never seen, lower is better.",
    }
    said = [reference[name] for name in scores] or ["No Retrain was made: there is no distance to one."]
    return [*lines, "", "Percent; attacks: the share of forgotten images that an attack calls never seen. " + " ".join(said)]
