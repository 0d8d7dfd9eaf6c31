import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dau_lightning.base.error import InputError
from dau_lightning.data.request import asked_for, described
from dau_lightning.data.split import Split, make_split
from dau_lightning.dataset.images import Data, Images
from dau_lightning.scheme.classwise import classwise
from dau_lightning.scheme.random import random


class Named:
    """A scheme that names samples of the whole training set."""

    names_samples = True

    def __init__(self, *ids: str) -> None:
        self.how: dict[str, str] = {}
        self.ids, self.found = ids, {"file": "list.txt", "entries": len(ids), "duplicates": 0, "matched_by": "id"}

    def __call__(self, train: Images, _: torch.Generator) -> Tensor:
        return torch.tensor([name in self.ids for name in train.ids])


@pytest.fixture
def data(make_images: Callable[..., Images]) -> Data:
    return Data(make_images(20), make_images(8, name="test"))


def split(data: Data, scheme: Any, **options: Any) -> Split:
    return make_split(data, scheme, 0, **options)


def test_named_samples_are_forgotten_unless_they_were_held_out(data: Data) -> None:
    whole = split(data, partial(random, fraction=0.5))
    trained, held = whole.train.ids[:3], whole.val.ids[:2]
    made = split(data, Named(*trained, *held))
    assert set(made.forget.ids) == set(trained)
    assert (made.train.ids, made.val.ids) == (whole.train.ids, whole.val.ids)  # whatever the scheme
    assert made.request["held_out"] == 2
    assert made.request["count"] == 3
    assert made.request["sha256"] == hashlib.sha256("\n".join(sorted(trained)).encode()).hexdigest()
    assert sum(made.request["classes"].values()) == 3
    line = described(made.request)
    assert line.startswith("request: 3 images (class class 0: 3); 5 entries of list.txt by id; 2 held out for validation")
    where = described(dict(made.request) | {"where": "user == 17"})
    assert "5 entries of list.txt where user == 17 by id" in where
    assert "of list.txt by id, column index;" in described(dict(made.request) | {"column": "index"})
    with pytest.raises(InputError, match=r"all 2 samples of the request are held out .* val_from_test"):
        split(data, Named(*held))
    assert split(data, Named(*trained, *held), val_from_test=0.25).request["count"] == 5


def test_the_first_images_are_those_of_the_list_that_are_forgotten(data: Data) -> None:
    whole = split(data, partial(random, fraction=0.5))
    trained, held = whole.train.ids[:6], whole.val.ids[:2]
    scheme = Named(*trained, *held)
    scheme.how = dict.fromkeys([held[0], *trained[::-1], held[1]], "by id")
    assert split(data, scheme).request["first"] == [*trained[:2:-1]]
    assert split(data, scheme, forgotten=trained[4:]).request["first"] == [*trained[3:0:-1]]


def test_the_union_of_all_requests_is_forgotten(data: Data) -> None:
    first = split(data, Named("train/00001", "train/00030"), val_from_test=0.25)
    second = split(data, Named("train/00001", "train/00050"), val_from_test=0.25, forgotten=first.forget.ids)
    assert second.forget.ids == ("train/00001", "train/00030", "train/00050")
    assert (second.request["count"], second.request["forgotten_before"]) == (1, 1)
    assert second.data_hash == first.data_hash
    at_once = split(data, Named("train/00050", "train/00030", "train/00001"), val_from_test=0.25)
    assert second.split_hash == at_once.split_hash
    with pytest.raises(InputError, match="the 1 samples of the request were all forgotten before"):
        split(data, Named("train/00030"), val_from_test=0.25, forgotten=first.forget.ids)
    with pytest.raises(InputError, match="1 of the samples forgotten before are no longer in the training set"):
        split(data, Named("train/00030"), val_from_test=0.25, forgotten=["gone"])


def test_a_scheme_that_draws_draws_from_what_is_left(data: Data) -> None:
    first = split(data, partial(random, fraction=0.25))
    second = split(data, partial(random, fraction=0.25), forgotten=first.forget.ids)
    assert (len(first.forget), second.request["count"]) == (18, round(0.25 * 54))
    assert set(first.forget.ids) < set(second.forget.ids)
    again = split(data, partial(classwise, target=1), forgotten=first.forget.ids)
    assert again.request["classes"] == {"class 1": int((first.retain.targets == 1).sum())}
    with pytest.raises(InputError, match="marks no sample to forget"):
        split(data, partial(classwise, target=1), forgotten=again.forget.ids)


def test_the_first_request_draws_as_ever(data: Data) -> None:
    train, everything = data.train, torch.arange(len(data.train))
    mask, _ = asked_for(train, train, everything, partial(random, fraction=0.25), 3, ())
    other = split(replace(data, val=data.test), partial(random, fraction=0.25))
    assert int(mask.sum()) == len(other.forget) == 20
