"""The spellings of a path: from another folder or system, in another Unicode form or letter case."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress


def composed(text: str) -> str:
    """The text in the Unicode form NFC."""
    return unicodedata.normalize("NFC", text)


FORMS: dict[str, Callable[[str], str]] = {
    "": str,
    " in another Unicode form": composed,
    " in another letter case": lambda text: composed(text).casefold(),
}


Form = Callable[[str], str]


def forms_of(root: str) -> list[tuple[str, Form]]:
    """The absolute path of the root, as it is written and without links, each with what brings another path into its form."""
    return [(os.path.abspath(root), str), (os.path.realpath(root), os.path.realpath)]


def is_inside(roots: Sequence[tuple[str, Form]]) -> bool:
    """Whether the current folder is the root or lies in it; `roots`: see `forms_of`."""
    return any(f"{form(os.getcwd())}/".startswith(f"{base}/") for base, form in roots)


def plain_path(entry: str) -> str:
    """An entry with `/` and without the quotes with which `ls` writes names with blanks."""
    quoted = len(entry) > 1 and entry[0] == entry[-1] and entry[0] in "\"'"
    return (entry[1:-1] if quoted else entry).replace("\\", "/")


def full_path(entry: str) -> str:
    """The absolute path that an entry is for other programs, from the current folder."""
    return os.path.abspath(os.path.expanduser(plain_path(entry)))


def readings(entry: str, roots: Sequence[tuple[str, Form]]) -> Iterator[tuple[str, str]]:
    """The paths relative to the root that an entry can mean, and how; `roots`: see `forms_of`."""
    plain, full = plain_path(entry), full_path(entry)
    texts = [(plain, "path")]
    with suppress(UnicodeError):
        texts.append((plain.encode("utf-8", "surrogateescape").decode("cp1252"), "path in a Windows code page"))
    for text, said in texts[: 1 + (not plain.isascii())]:
        yield text.removeprefix("./"), said
        yield f"train/{text.removeprefix('./')}", said
    for base, form in roots:
        if (path := form(full)).startswith(f"{base}/"):
            return (yield path.removeprefix(f"{base}/"), "path")
    parts, names = plain.split("/"), {os.path.basename(base) for base, _ in roots}
    if not names.isdisjoint(parts) and not os.path.exists(full):  # else it is an image of another folder of the same name
        for number, part in enumerate(parts):
            if part in names:
                yield "/".join(parts[number + 1 :]), f"path after the folder's name, {part},"
