"""The ledger, which has a line for each request with the hash of the line before, and the run that a request continues."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from dau_lightning.base.error import InputError, require
from dau_lightning.data.request import ids_hash
from dau_lightning.storage.atomic import read_lines, write_text
from dau_lightning.storage.run_folder import read_result
from dau_lightning.storage.seal import sha256, tensors_digest
from dau_lightning.storage.weights import StartingWeights

LEDGER, FORGOTTEN, WEIGHTS = "ledger.jsonl", "forgotten.txt", "unlearned.safetensors"
SAME = ["seed", "val_from_test", "network", "transform", "sparsity"]  # settings that all requests to one model share
SAME += ["dataset.train_limit", "dataset.test_limit", "dataset.image_size", "dataset.level"]


@dataclass(frozen=True)
class PreviousRun:
    """A finished run whose model has to forget more samples.

    Attributes:
        result: the content of its `result.json`.
        lines: the lines of its ledger.
        ids: ids of all samples forgotten by this run and by those before it.
        given: the weights that it left.
    """

    result: Mapping[str, Any]
    lines: Sequence[str]
    ids: Sequence[str]
    given: StartingWeights

    @property
    def first_RA(self) -> float:
        """RA of the original of the first request, in percent."""
        return self.result["start"].get("RA", self.result["rows"]["original"]["RA"])

    @property
    def recipe(self) -> Mapping[str, Any] | None:
        """The recipe with which the original of the first request was trained; None if this package did not train it."""
        return self.result["start"].get("recipe")

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Check that a new request has the same network and the other settings in `SAME`.

        Raises:
            InputError: a setting differs; the message names it.
        """
        said = "continue_from needs the settings of the run that it continues:"
        for name in SAME:
            node, _, key = name.rpartition(".")
            ours, theirs = ((each[node] if node else each).get(key) for each in (settings, self.result["settings"]))
            require(ours == theirs, f"{said} {name} must be {theirs}, got {ours}")
        ours, theirs = (bool(each["scheme"].get("wrong_labels")) for each in (settings, self.result["settings"]))
        require(ours == theirs, f"{said} scheme.wrong_labels must be {str(theirs).lower()}: all requests have one target")

    def check_data(self, data_hash: str) -> None:
        """Check that a new request has the same data.

        Raises:
            InputError: the images, the labels, `D` or `D_v` have changed.
        """
        require(
            data_hash == self.result["data_hash"],
            "continue_from needs the data of the run that it continues: images, labels or the files in them have changed",
        )


def previous_run(folder: str) -> PreviousRun:
    """The run in a folder, after checking its list of forgotten samples and its weights against its ledger.

    Raises:
        InputError: the run is not finished, its ledger was edited, or its list or weights are not those in the ledger.
    """
    path, said = Path(folder).expanduser(), f"continue_from={folder}"
    if (result := read_result(path)) is None:
        raise InputError(f"{said} must be the folder of a finished run, it holds no result.json")
    try:
        entered = read_lines(path / LEDGER)
        ids = read_lines(path / FORGOTTEN, "surrogateescape")
        weights = load_file(path / WEIGHTS)
    except (OSError, UnicodeDecodeError, SafetensorError) as error:
        raise InputError(
            f"{said} must be a run that forgot something, with {LEDGER}, {FORGOTTEN} and {WEIGHTS}: {error}"
        ) from error
    entries = _checked(entered, said)
    edited = f"{said} cannot be trusted:"
    require(sha256(entered[-1]) == result.get("ledger"), f"{edited} the last entry of {LEDGER} was edited")
    require(ids_hash(ids) == entries[-1]["forgotten_sha256"], f"{edited} {FORGOTTEN} is not the list that the ledger records")
    require(
        tensors_digest(weights) == entries[-1]["weights_sha256"],
        f"{edited} {WEIGHTS} are not the weights that the ledger records",
    )
    given = StartingWeights("Before", f"{said} ({WEIGHTS})", {"": weights}, result["start"]["saw_all"])
    return PreviousRun(result, entered, ids, given)


def write(folder: Path, before: Sequence[str], entry: Mapping[str, Any], ids: Collection[str]) -> str:
    """Write the ledger of a run, which adds an entry to the previous run's, and the list of all forgotten samples.

    Args:
        folder: the run folder.
        before: the lines of the previous run's ledger; empty for a first request.
        entry: the content of the new entry.
        ids: ids of all forgotten samples.

    Returns:
        The hash of the new entry.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    chained = {"entry": len(before) + 1, "former": sha256(before[-1]) if before else None, "time": now, **entry}
    line = json.dumps(chained | {"forgotten": len(ids), "forgotten_sha256": ids_hash(ids)}, sort_keys=False)
    for name, each in ((FORGOTTEN, ids), (LEDGER, (*before, line))):
        write_text(folder / name, "".join(f"{text}\n" for text in each))
    return sha256(line)


def _checked(entered: Sequence[str], said: str) -> list[dict[str, Any]]:
    """The entries of a ledger, after checking that each carries the hash of the one before."""
    entries, before = [], None
    for number, line in enumerate(entered, 1):
        try:
            entry = json.loads(line)
            told = entry["entry"], entry["former"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{said} cannot be trusted: entry {number} of {LEDGER} is no entry of a ledger") from error
        require(told == (number, before), f"{said} cannot be trusted: {LEDGER} was edited before its entry {number}")
        entries.append(entry)
        before = sha256(line)
    require(bool(entries), f"{said} cannot be trusted: {LEDGER} is empty")
    return entries
