import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, locked, set_aside


def test_the_file_is_there_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "old")]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".file.txt.tmp").write_text("much longer than what comes")
    with atomic_write(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "new")]


def test_others_may_read_what_safetensors_writes(tmp_path: Path) -> None:
    (tmp_path / "any.txt").touch()
    with atomic_write(tmp_path / "file.safetensors") as temporary:
        save_file({"weight": np.zeros(3)}, temporary)
    assert (tmp_path / "file.safetensors").stat().st_mode == (tmp_path / "any.txt").stat().st_mode


def test_no_folder_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file.txt"
    with (
        pytest.raises(InputError, match=rf"cannot write {path} \(No such file or directory\)"),
        atomic_write(path) as temporary,
    ):
        temporary.write_text("new")


def test_set_aside_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("odd")
    with pytest.warns(UserWarning, match=r"file\.txt cannot be used \(because\); it is set aside as file\.txt\.bad"):
        set_aside(path, "because")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt.bad", "odd")]


def test_one_process_at_a_time_and_another_says_that_it_waits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys, pathlib, dau_lightning.storage.atomic as w; w.PATIENCE = 0.1\n"
    code += "with w.locked(pathlib.Path(sys.argv[1]), 'which works'): print('mine')"
    command = [sys.executable, "-c", code, str(tmp_path / "it.lock")]
    with locked(tmp_path / "it.lock", "which works"):
        other = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stderr
        assert other.stderr.readline() == "waiting for another process, which works\n"
        assert other.poll() is None
    assert other.communicate(timeout=20)[0] == "mine\n"
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"mine\n"
