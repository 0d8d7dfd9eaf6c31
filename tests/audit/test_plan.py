"""The tests of an audit are made from their yaml files."""

import pytest

from dau_lightning.audit.plan import planned
from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError


def test_every_yaml_file_makes_a_test_and_priority_orders_them():
    tests = planned([])
    assert set(tests) == {path.stem for path in (CONFIG_FOLDER / "audit").glob("*.yaml")}
    priorities = [each.test.priority for each in tests.values()]
    assert priorities == sorted(priorities)
    assert all(each.test.meaning for each in tests.values())


def test_a_setting_can_be_changed():
    assert planned(["relearning.lr=0.1"])["relearning"].settings["lr"] == 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("relearning.rate=1", "unknown setting 'relearning.rate=1'"),
        ("relearn.lr=1", "did you mean 'relearning.lr'"),
        ("relearning.lr=fast", r"relearning.lr must be"),
        ("relearning=1", "unknown setting"),
    ],
)
def test_other_settings_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        planned([change])
