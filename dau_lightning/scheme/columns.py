"""What the name of a column says about its cells."""

import re

# Columns that may name samples. A name with one of the words below promises ids or paths, which numbers are not.
COLUMNS = {"position", "positions", "index", "indices", "idx", "image", "img", "id", "ids", "image_id", "img_id", "sample_id"}
COLUMNS |= {"path", "paths", "filepath", "file_path", "file", "files", "filename", "file_name", "image_path", "img_path"}
COLUMNS |= {"image_file", "image_name"}
ID_WORD = re.compile(r"[^_]*ids?|keys?|(file)?(names?|paths?)|files?")
IMAGE_WORD = re.compile(r"(image|img|photo|foto|picture|pic|bild)s?|(file)?paths?|file(name)?s?")


def plain(name: str) -> str:
    """A column's name in small letters with `_` between words, of which camel case may be made: ImageID, imageId."""
    return re.sub(r"[\s._-]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", "_", name.strip()).lower()


def promised(column: str) -> str | None:
    """The kind of entries that a column's name promises, `position` or `id`."""
    name = plain(column)
    if name in ("position", "positions"):
        return "position"
    return "id" if any(map(ID_WORD.fullmatch, re.split(r"[\W_]+", name))) else None


def promises_image(column: str) -> bool:
    """Whether a column's name promises images, even if its cells are numbers: photo, image_id, but not image_label."""
    words = re.split(r"[\W_]+", plain(column))
    last = IMAGE_WORD.fullmatch(words[-1]) or ID_WORD.fullmatch(words[-1])
    return bool(last and any(map(IMAGE_WORD.fullmatch, words)))
