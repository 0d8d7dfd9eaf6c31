"""The scheme asks for the original or for reference models, in every mode of a run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import load_file
from scipy.special import logsumexp, softmax

from dau_lightning.audit import __main__ as audit
from dau_lightning.base.error import InputError
from dau_lightning.data.split import make_split
from dau_lightning.dataset.images import Images
from dau_lightning.network import convnet
from dau_lightning.scheme.memorised import Memorised
from dau_lightning.scheme.random import random
from dau_lightning.training.reference import halves
from tests.composed import composed
from tests.tiny import TINY, results

pytestmark = pytest.mark.slow

QUICK = [*TINY, "baseline=finetune", "baseline.epochs=1"]
LIMITS = ["dataset=digits", "dataset.train_limit=200", "dataset.test_limit=100"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored(kind: str) -> list[Path]:
    return sorted(Path("store").glob(f"{kind}-*.safetensors"))


def forgotten(folder: Path) -> set[str]:
    return set((folder / "forgotten.txt").read_text().split())


def trained_on(val_from_test: float | None = None) -> Images:
    """`D` of a run with `TINY` and seed 0."""
    data = instantiate(composed(*LIMITS).dataset)()
    return make_split(data, partial(random, fraction=0.1), 0, val_from_test=val_from_test).train


def logits_of(weights: Path, images: Images) -> np.ndarray:
    """By a plain network and plain arithmetic."""
    transform, network = composed(*LIMITS).transform, convnet(10, 1, 16)
    network.load_state_dict(load_file(weights))
    with torch.no_grad():
        return network.eval()((images.images.float() / 255 - transform.mean[0]) / transform.std[0]).double().numpy()


def margins(weights: Path, images: Images) -> np.ndarray:
    logits, rows, labels = logits_of(weights, images), np.arange(len(images)), images.targets.numpy()
    others = np.where(np.arange(10) == labels[:, None], -np.inf, logits)
    return logits[rows, labels] - logsumexp(others, axis=1)


def first(images: Images, score: np.ndarray, count: int) -> set[str]:
    return {images.ids[place] for place in np.argsort(score, kind="stable")[:count]}


@pytest.mark.parametrize(("references", "expected"), [(0, range(10)), (2, range(30, 40))])
def test_small_margins_or_large_memorisation(make_images: Callable[..., Images], references: int, expected: range) -> None:
    train = replace(make_images(10), scores=(7 * torch.arange(40) % 40).double())
    mask = Memorised(0.25, references)(train, torch.Generator())
    assert train.scores is not None
    assert sorted(train.scores[mask].tolist()) == list(expected)


def test_a_run_forgets_what_its_original_is_least_sure_of(run: Callable[..., str]) -> None:
    printed = run(*QUICK, "scheme=memorised")
    assert "chosen by the smallest margins of the original" in printed
    ((folder, result),) = results().items()
    (original,) = stored("original")
    train = trained_on()
    assert forgotten(folder) == first(train, margins(original, train), 18)
    assert result["request"]["chosen_by"] == "the smallest margins of the original"
    assert "Scheme: memorised, by the smallest margins of the original" in (folder / "model_card.md").read_text()
    assert "finished before" in run(*QUICK, "scheme=memorised")
    preview = run(*QUICK, "scheme=memorised", "preview=true")
    assert "by its score" in preview
    assert preview.split("  1  ")[1].split()[0] == train.ids[int(margins(original, train).argmin())]
    run(*QUICK, "scheme=confident", "scheme.fraction=0.05")
    run(*QUICK, "scheme=random")
    assert stored("original") == [original]
    assert len(stored("retrain")) == 3
    found = {each["scheme"]: each for each in results().values()}
    assert len({each["data_hash"] for each in found.values()}) == 1
    assert len({each["split_hash"] for each in found.values()}) == 3
    (sure,) = (where for where, each in results().items() if each["scheme"] == "confident")
    assert forgotten(sure) == first(train, -margins(original, train), 9)
    audit.main([str(folder), "minutes=0.0000001"])
    assert (folder / "audit.json").is_file()
    original.unlink()
    with pytest.raises(InputError, match=r"chooses images by trained networks, and store/original-.* is missing"):
        audit.main([str(folder)])


def test_a_preview_trains_nothing(run: Callable[..., str]) -> None:
    with pytest.raises(SystemExit, match=r"store/original-.* is missing, .* without preview=true trains it"):
        run(*QUICK, "scheme=memorised", "preview=true")
    assert not list(Path().rglob("*.safetensors"))


def test_a_killed_run_goes_on_with_the_same_images(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dau_lightning.training.training.Training.unlearned", killed)
        with pytest.raises(KeyboardInterrupt):
            run(*QUICK, "scheme=memorised")
    assert not results()
    (original,) = stored("original")
    stamp = original.stat().st_mtime_ns
    run(*QUICK, "scheme=memorised")
    assert original.stat().st_mtime_ns == stamp
    ((folder, _),) = results().items()
    assert forgotten(folder) == first(trained_on(), margins(original, trained_on()), 18)


def test_a_sweep_by_the_selection_score_warns_that_unseen_images_are_no_standard(run: Callable[..., str]) -> None:
    run("-m", *QUICK, "scheme=confident,random", "scheme.fraction=0.05", "selection=true")
    assert len(stored("original")) == 1
    warned = {result["scheme"]: [text for text in result["warnings"] if "chosen" in text] for result in results().values()}
    assert warned["random"] == []
    assert "chosen by the largest margins of the original: a model without it" in warned["confident"][0]
    assert "compare with a Retrain" in warned["confident"][0]


def test_reference_models_score_the_images(run: Callable[..., str]) -> None:
    run(*QUICK, "scheme=memorised", "scheme.references=4")
    ((folder, result),) = results().items()
    train, scores = trained_on(), np.zeros(180)
    inside = [mask.numpy() for mask in halves(train.targets, 4, 0, "memorisation")]
    assert np.stack(inside).sum(0).tolist() == [2] * 180
    in_order = sorted(stored("reference"), key=lambda path: path.stat().st_mtime_ns)
    for mask, path in zip(inside, in_order, strict=True):
        label = softmax(logits_of(path, train), axis=1)[np.arange(180), train.targets.numpy()]
        scores += np.where(mask, label, -label) / 2
    assert forgotten(folder) == first(train, -scores, 18)
    assert result["request"]["chosen_by"] == "the memorisation score of 4 reference models"


def test_given_weights_choose_by_their_own_margins(run: Callable[..., str]) -> None:
    run(*QUICK, "hydra.run.dir=before", "val_from_test=0.5", "reference=off")
    given = ["original.checkpoint=before/unlearned.safetensors", "val_from_test=0.5", "reference=off", "scheme=memorised"]
    with pytest.raises(SystemExit, match=r"scheme\.references must be 0 for weights that recipe\.\* did not train"):
        run(*QUICK, *given, "scheme.references=2")
    originals = stored("original")
    printed = run(*QUICK, *given, "hydra.run.dir=after")
    assert stored("original") == originals
    assert printed.count("before/unlearned.safetensors") == 1
    train = trained_on(0.5)
    assert forgotten(Path("after")) == first(train, margins(Path("before/unlearned.safetensors"), train), 20)


def test_a_later_request_chooses_among_what_is_left_by_the_model_before_it(run: Callable[..., str]) -> None:
    run(*QUICK, "hydra.run.dir=first", "reference=off")
    run(*QUICK, "scheme=memorised", "continue_from=first", "hydra.run.dir=second", "reference=off")
    train, before = trained_on(), forgotten(Path("first"))
    left = train[torch.tensor([place for place, name in enumerate(train.ids) if name not in before])]
    new = first(left, margins(Path("first/unlearned.safetensors"), left), 16)
    assert forgotten(Path("second")) == before | new


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["scheme.references=3"], "scheme.references must be even, each image is in half of them; got 3"),
        (["scheme.references=-2"], "scheme.references must be an integer of at least 0, got -2"),
        (["scheme.fraction=1.0"], "scheme.fraction must be null or a finite number above 0 and below 1, got 1.0"),
        (["scheme.fraction=null"], "scheme.fraction must be a number above 0 and below 1, got null"),
        (["scheme.fraction=0.999"], "scheme.fraction must leave every class a sample to retain"),
        (["metric=[entropy]"], "metric must include confidence"),
        (["transform.mean=[0.5,0.5]"], "one number for each of the 1 channels"),
    ],
)
def test_a_mistake_is_told_before_the_original_is_trained(run: Callable[..., str], settings: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as end:
        run(*QUICK, "scheme=memorised", *settings)
    assert message in str(end.value)
    assert "\n" not in str(end.value)
    assert not [path for path in Path().rglob("*") if path.is_file()]
