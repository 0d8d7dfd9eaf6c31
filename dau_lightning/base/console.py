"""Progress bars, which go to standard error; tables and results go to standard output."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def progress_bar() -> Progress:
    """A progress bar with count, elapsed time and remaining time."""
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))


def progress(items: Iterable[T], description: str) -> Iterable[T]:
    """Iterate over items, and show a progress bar."""
    with progress_bar() as bar:
        yield from bar.track(items, description=description)


def printable(name: str) -> str:
    r"""A file name as text that every stream and page takes; bytes of it that are no UTF-8 become `\udce9` and the like."""
    return name.encode(errors="backslashreplace").decode()
