"""Files of a report: all of them, or none."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dau_lightning.base.error import InputError


def write(files: Mapping[Path, bytes]) -> None:
    """Write all files, or none: beside their places first, then renamed.

    Raises:
        InputError: one cannot be written.
    """
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in files}
    path = Path()
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary[path], "wb") as file:
                file.write(content)
                os.fsync(file.fileno())  # a name must not outlive a loss of power without its content
        for path in files:
            os.replace(temporary[path], path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        for left in temporary.values():
            with suppress(OSError):
                left.unlink()
