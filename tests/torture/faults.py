"""Full disks, read-only folders and damaged files: one clear line or a rebuilt file, and what was finished stays valid.

python -m tests.torture.faults
"""

import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.torture.kill import FORMS, arguments, difference, make_images, outcome
from tests.torture.traced import run

NOBODY = 65534


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("written-by-a-pickle",)


def fill(size: int) -> None:
    """Let no file of this process grow beyond a number of bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def mounted(where: Path, kilobytes: int) -> bool:
    """Whether a disk of that size could be put there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(where)]
    return subprocess.run(command, capture_output=True).returncode == 0


def be_nobody() -> None:
    """Give up the rights of root, for which no folder is read-only."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def spoil(path: Path) -> Iterator[tuple[str, bytes]]:
    """Contents that a file may have got."""
    data = path.read_bytes()
    yield "cut in half", data[: len(data) // 2]
    yield "empty", b""
    yield "a bit flipped", data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    yield "a pickle with code", pickle.dumps(Bomb())


def one_clear_line(code: int, where: Path) -> str:
    """What is wrong with how a run ended that could not go on; empty if nothing is."""
    text = (where / "output.txt").read_text()
    last = text.strip().splitlines()[-1]
    if code != 1 or "Traceback" in text or not last.startswith("error: "):
        return f"ended with {code}: {text[-1500:]}"
    return ""


def main() -> int:
    """Every fault, and then the same run without it."""
    form = FORMS["quick"]
    with tempfile.TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o755)
        images, calm, bad, count = Path(temporary) / "images", Path(temporary) / "calm", 0, 0
        make_images(images, form.pixels)
        command = arguments(images, form)
        calm.mkdir()
        assert run(calm, command, form.seconds)[0] == 0, (calm / "output.txt").read_text()
        expected = outcome(calm)

        def told(fault: str, wrong: str) -> None:
            nonlocal bad, count
            bad, count = bad + bool(wrong), count + 1
            print(f"{fault}: {wrong or 'as it should be'}", flush=True)

        def then_without(
            where: Path, first: Callable[[], object], settings: Sequence[str] = (), mend: Callable[[], object] = int
        ) -> str:
            """A run with a fault, and again without it."""
            code, _ = run(where, [*command, *settings], form.seconds, first=first)
            if wrong := one_clear_line(code, where):
                return wrong
            mend()
            code, _ = run(where, [*command, *settings], form.seconds)
            return difference(expected, outcome(where)) if code == 0 else (where / "output.txt").read_text()[-1500:]

        sizes = sorted({path.stat().st_size for path in calm.rglob("*") if path.is_file()} - {0})
        for size in [size // 2 for size in sizes if size > 8000] + [400]:
            where = Path(temporary) / f"full-{size}"
            where.mkdir()
            (where / "output.txt").touch()
            told(f"no file beyond {size} bytes", then_without(where, partial(fill, size)))
        for kilobytes in (40, 160, 320):
            disk = Path(temporary) / f"disk-{kilobytes}" / "disk"
            disk.mkdir(parents=True)
            if not mounted(disk, kilobytes):
                print("no disk could be mounted: full disks were files that could not grow")
                break
            there = "store.root=disk/store", "hydra.run.dir=disk/run"
            larger = partial(subprocess.run, ["mount", "-o", "remount,size=64m", str(disk)], check=True)
            told(f"a disk of {kilobytes} kB is full", then_without(disk.parent, int, there, larger))
            subprocess.run(["umount", str(disk)], check=True)
        for name in ("runs", "store"):
            where = Path(temporary) / f"read-only-{name}"
            for folder in ("runs", "store"):
                (where / folder).mkdir(parents=True)
                (where / folder).chmod(0o777)
            (where / name).chmod(0o555)
            where.chmod(0o777)
            told(f"{name} is read-only", then_without(where, be_nobody))
        kinds = [
            "images-*.safetensors",
            "original-*.safetensors",
            "retrain-*.safetensors",
            "unlearned.safetensors",
            "result.json",
        ]
        for kind in kinds:
            path = sorted(calm.rglob(kind))[0]
            for fault, content in spoil(path):
                where = Path(temporary) / f"{kind[:6]}-{fault}"
                shutil.copytree(calm, where)
                spoiled = where / path.relative_to(calm)
                spoiled.write_bytes(content)
                if kind != "result.json":
                    next(where.rglob("result.json")).unlink()
                code, _ = run(where, command, form.seconds)
                aside = spoiled.with_name(f"{spoiled.name}.bad")
                found = outcome(where) if code == 0 else {}
                left = found.pop("left", None)
                wrong = difference({name: expected[name] for name in found}, found) if code == 0 else f"ended with {code}"
                wrong = wrong or ("" if left == [aside.name] and aside.read_bytes() == content else "was not set aside")
                wrong = wrong or ("" if not list(where.rglob("written-by-a-pickle")) else "code in a file ran")
                named = f"{spoiled.name} cannot be used" in (where / "output.txt").read_text()
                wrong = wrong or ("" if named else "was not named")
                told(f"{kind} {fault}", wrong)
        print(f"{count} faults, {count - bad} of them as they should be")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
