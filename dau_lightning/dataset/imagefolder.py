"""Own images: ROOT/train/<class>/**, ROOT/test/<class>/** and optionally ROOT/val/<class>/**, any size Pillow reads."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from PIL import Image
from torch import Tensor

from dau_lightning.base.error import InputError, require
from dau_lightning.base.randomness import generator
from dau_lightning.dataset.draw import within_limit
from dau_lightning.dataset.images import Data, Images
from dau_lightning.dataset.mapped import decoded
from dau_lightning.storage.decode import Remarks, Size
from dau_lightning.storage.image_cache import ImageFile


class Listing(NamedTuple):
    """The files of a set and their classes, int64 `(N,)`, before anything is decoded."""

    files: list[ImageFile]
    targets: Tensor

    def limited(self, limit: int | None, setting: str, generator: torch.Generator) -> "Listing":
        """The class-balanced part `within_limit`."""
        index = within_limit(self.targets, limit, setting, generator)
        return Listing([self.files[i] for i in index.tolist()], self.targets[index])


def imagefolder(
    root: str,
    image_size: int | Sequence[int],
    channels: int,
    train_limit: int | None,
    test_limit: int | None,
    seed: int,
    cache: str,
    exif: bool = True,
    classes: Sequence[str | int] | None = None,
    resident_limit: float | None = None,
) -> Data:
    """The images of a folder as uint8 `(N, channels, height, width)`; a class has the same index in every set.

    Args:
        root: the folder with `train`, `test` and perhaps `val`, each with one folder a class. Hidden files are skipped;
            files whose extension Pillow does not read are skipped with a warning. A class may be missing from `test` and `val`.
        image_size: pixels; the shorter side is resized to it, then the centre cut out. Height and width: resized to them.
        channels: 3 for RGB, 1 for grey.
        train_limit: class-balanced number of training images to keep, or None for all; the others are not decoded.
        test_limit: the same for the test images.
        seed: decides which images a limit keeps.
        cache: the folder for the decoded images, which later runs read as long as no file has changed.
        exif: whether to turn images as their EXIF data say.
        classes: the names of all class folders, in the order of the network's outputs; None for the order of text.
        resident_limit: see `decoded`.

    Raises:
        InputError: the folder has another layout, an image cannot be read, or a limit is smaller than the number of
            classes.
    """
    base, draws = Path(root).expanduser(), generator(seed, "limit")
    class_names = _in_order(_class_names(base), classes)
    names = ["train", "test", "val"] if (base / "val").exists() else ["train", "test"]
    if others := [name for name in ("valid", "validation", "dev") if "val" not in names and (base / name).is_dir()]:
        print(f"warning: {base / others[0]} is not used: name it val/ if the network has not seen its images")
    found = {name: _listing(base, name, class_names) for name in names}
    sets = {name: listing for name, (listing, _) in found.items()}
    if left_out := [path for _, others in found.values() for path in others]:
        some = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        print(f"warning: {len(left_out):,} files are skipped that are in no class folder or have no image extension: {some}")
    sets["train"] = sets["train"].limited(train_limit, "dataset.train_limit", draws)
    sets["test"] = sets["test"].limited(test_limit, "dataset.test_limit", draws)
    files = [file for listing in sets.values() for file in listing.files]
    size = image_size if isinstance(image_size, int) else tuple(image_size)
    require(isinstance(size, int) or len(size) == 2, f"dataset.image_size: needs one number or [HEIGHT,WIDTH], got {size}")
    pixels, remarks = decoded(base, files, (cast(Size, size), channels, exif), Path(cache).expanduser(), resident_limit)
    _tell(remarks, len(files))
    places = torch.arange(len(files)).split([len(listing.files) for listing in sets.values()])
    made = dict[str, Images]()
    for (name, listing), rows in zip(sets.items(), places, strict=True):
        made[name] = Images(pixels, listing.targets, class_names, tuple(f.path for f in listing.files), root=base, rows=rows)
    return Data(**made, turned=remarks["turned"], unturned=remarks["unturned"])


def _tell(remarks: Remarks, count: int) -> None:
    """Print what the decoding found."""
    if turned := remarks["turned"]:
        print(f"{turned:,} of {count:,} images were turned as their EXIF data say; dataset.exif=false leaves them as they are")
    if dark := remarks["dark"]:
        print(
            f"warning: {dark:,} 16-bit images use at most 14 bits (cameras often write 12) and are nearly black: "
            "scale them to 0..65535, or to 0..255 in 8 bits"
        )


def _in_order(names: tuple[str, ...], classes: Sequence[str | int] | None) -> tuple[str, ...]:
    """The class names in the order that the user gave."""
    order = names if classes is None else tuple(map(str, classes))
    wrong = sorted({*names} ^ {*order}) or [name for name in names if order.count(name) > 1]
    require(
        not wrong,
        f"dataset.classes: must name every class folder once (numbers may need quotes); wrong: {wrong[:3]}",
    )
    return order


def _class_names(root: Path) -> tuple[str, ...]:
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise InputError(f"dataset.root: needs train/<class>/ and test/<class>/ in {root}, found no folder {folder}")
    names = _folders(root / "train")
    if len(names) < 2:
        raise InputError(f"dataset.root: needs at least two class folders in {root / 'train'}, found {names or 'none'}")
    if strange := [name for name in names if name != name.encode(errors="ignore").decode()]:  # tables and cards print them
        raise InputError(f"dataset.root: needs class folders with names in UTF-8 in {root / 'train'}, found {strange}")
    return tuple(names)


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"dataset.root: needs a readable folder, found {error}") from error


def _listing(root: Path, name: str, class_names: Sequence[str]) -> tuple[Listing, list[str]]:
    """The images of one set, sorted by path, class after class; and the paths of its other files."""
    folders = _folders(root / name)
    if unknown := [folder for folder in folders if folder not in class_names]:
        raise InputError(f"dataset.root: needs every class of {name} in train, found {unknown} only in {root / name}")
    if not folders:
        raise InputError(f"dataset.root: needs class folders in {root / name}, found none")
    Image.init()  # Loads all readers, so that every extension is known.
    extensions = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files, targets = [], []
    others = sorted(f"{name}/{path.name}" for path in (root / name).iterdir() if path.is_file() and path.name[0] != ".")
    for folder in folders:
        try:
            # A link back to a folder above would make every class part of this one.
            above = {_identity(root), _identity(root / name)}
            found = []
            for path, entry in _walk(root / name / folder, f"{name}/{folder}", above):
                if os.path.splitext(path)[1].lower() in extensions:
                    if not entry.is_file():
                        raise FileNotFoundError(f"no regular file at {entry.path}")
                    found.append(ImageFile(path, entry.stat().st_size, entry.stat().st_mtime_ns))
                else:
                    others.append(path)
        except OSError as error:
            raise InputError(f"dataset.root: needs readable files, found {error}") from error
        if not found:
            raise InputError(f"dataset.root: needs at least one image in every class, found none in {root / name / folder}")
        files += sorted(found)
        targets += [class_names.index(folder)] * len(found)
    return Listing(files, torch.tensor(targets)), others


def _walk(folder: Path | str, relative: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Each file below a folder that is not hidden, with its relative path."""
    if (identity := _identity(folder)) in seen:
        return
    seen.add(identity)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path = f"{relative}/{entry.name}"
            if entry.is_dir():
                yield from _walk(entry.path, path, seen)
            else:
                yield path, entry


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
