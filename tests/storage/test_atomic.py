import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, locked, read_lines, set_aside


def test_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "old")]


def test_the_temporary_file_of_a_killed_process_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".file.txt.tmp").write_text("much longer than what comes")
    with atomic_write(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "new")]


def test_safetensors_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any.txt").touch()
    with atomic_write(tmp_path / "file.safetensors") as temporary:
        save_file({"weight": np.zeros(3)}, temporary)
    assert (tmp_path / "file.safetensors").stat().st_mode == (tmp_path / "any.txt").stat().st_mode


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file.txt"
    with (
        pytest.raises(InputError, match=rf"cannot write {path} \(No such file or directory\)"),
        atomic_write(path) as temporary,
    ):
        temporary.write_text("new")


def test_set_aside_renames_the_file_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("odd")
    with pytest.warns(UserWarning, match=r"file\.txt cannot be used \(because\); it is set aside as file\.txt\.bad"):
        set_aside(path, "because")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt.bad", "odd")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_only_at_newlines(tmp_path: Path, end: str) -> None:
    lines = ["a\u2028b", "c\x85", "", "d\x0b\x0c\x1c"]  # `str.splitlines` would split all of these
    for text in (end.join(lines), end.join([*lines, ""])):
        (tmp_path / "file.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())  # a byte order mark, as editors of Windows add
        assert read_lines(tmp_path / "file.txt") == lines


def test_a_second_process_waits_for_the_lock_and_says_so(tmp_path: Path) -> None:
    code = "import sys, pathlib, dau_lightning.storage.atomic as atomic; atomic.PATIENCE = 0.1\n"
    code += "with atomic.locked(pathlib.Path(sys.argv[1]), 'which works'): print('mine')"
    command = [sys.executable, "-c", code, str(tmp_path / "it.lock")]
    with locked(tmp_path / "it.lock", "which works"):
        other = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stderr
        assert other.stderr.readline() == "waiting for another process, which works\n"
        assert other.poll() is None
    assert other.communicate(timeout=20)[0] == "mine\n"
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"mine\n"
