"""The names under which runs are compared: only runs with the same dataset, network and scheme can share a table."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# In tables; a data set that is not the official one says so. Others have the name of their choice.
DATASETS = {"cifar10_jpeg": "CIFAR-10 (JPEG)", "tiny_imagenet100": "Tiny-ImageNet-100 (32x32)"}


def run_name(
    choices: Mapping[str, str], settings: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]
) -> tuple[str, str, str]:
    """Dataset, network and scheme of a run in words.

    A choice alone does not tell two runs apart that corrupt the data, load different networks, forget different lists, or
    continue from different runs. The words therefore include the corruption, the network's name within its library, 8 hex
    digits of the list, and the folder that the run continues from.

    Args:
        choices: the choices in the groups `dataset`, `network` and `scheme`.
        settings: the composed configuration.
        files: name and SHA-256 of the files that the settings name, as `run_folder.user_files` returns them.

    >>> run_name({"dataset": "digits", "network": "timm", "scheme": "random"}, {"network": {"name": "resnet10t"}}, {})
    ('digits', 'timm resnet10t', 'random')
    >>> run_name({"dataset": "cifar10_jpeg", "network": "resnet9", "scheme": "classwise"}, {}, {})
    ('CIFAR-10 (JPEG)', 'resnet9', 'classwise')
    """
    network, scheme = settings.get("network", {}), settings.get("scheme", {})
    own_class = network["_target_"].rpartition(".")[2] if choices["network"] == "own" else None
    words = [choices["scheme"]]
    if path := scheme.get("file"):
        if "scheme.file" in files:
            content = files["scheme.file"]["sha256"], scheme.get("where"), scheme.get("column")
            content += tuple(filter(None, (scheme.get("by"), scheme.get("with_copies"))))
            words.append(hashlib.sha256(repr(content).encode()).hexdigest()[:8])
        words += [Path(path).name, *(["with wrong labels"] if scheme.get("wrong_labels") else [])]
    words += [f"by {scheme['references']} references"] if scheme.get("references") else []
    if previous := settings.get("continue_from"):
        words.append(f"after {Path(previous).name}")
    if condition := scheme.get("where"):
        words.append(f"where {condition}")
    corruption = settings.get("corruption", {}).get("_target_", "").rpartition(".")[2].lower()
    name = DATASETS.get(choices["dataset"], choices["dataset"])
    dataset = f"{name} with {corruption}" if corruption else name
    return dataset, " ".join(filter(None, [choices["network"], own_class, network.get("name")])), " ".join(words)
