"""Lists as programs write them, each a small file of its own, against the same list by hand."""

import codecs
import json
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.indices import Indices

IDS = ("train/kater/eins.png", "train/kater/größe.png", "train/maus/a b.png", "train/maus/猫.png", "train/maus/2,5.png")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def marked(name: str, content: str | bytes, ids: tuple[str, ...] = IDS, **settings: str) -> list[int]:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    train = Images(torch.zeros(len(ids), 1, 2, 2, dtype=torch.uint8), torch.arange(len(ids)) % 2, ("a", "b"), ids)
    scheme = Indices(name, settings.pop("where", None), settings.pop("column", None), **settings)
    return scheme(train, torch.Generator()).nonzero().flatten().tolist()


def refusal(name: str, content: str | bytes, **settings: str) -> str:
    with pytest.raises(InputError) as caught:
        marked(name, content, **settings)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


EXCEL = "Größe\tpath\r\n3\tkater/größe.png\r\n4\tmaus/猫.png\r\n"
POWERSHELL = '#TYPE System.IO.FileInfo\r\n"user","path"\r\n"17","train\\kater\\größe.png"\r\n"17","train\\maus\\猫.png"\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text", "settings"),
    [
        ("list.txt", "kater/größe.png\r\nmaus/猫.png", {}),
        ("unicode.txt", EXCEL, {}),
        ("unicode.csv", EXCEL, {"where": "Größe >= 3"}),
        ("shell.csv", POWERSHELL, {"where": "user == 17"}),
        ("sep.csv", "sep=;\r\nuser;path\r\n17;kater/größe.png\r\n17;maus/猫.png\r\n", {"where": "user == 17"}),
        ("pipe.csv", "user|path\n17|kater/größe.png\n18|maus/猫.png\n", {}),
        ("blanks.tsv", " user \t Image Path \n17\t kater/größe.png \n18\t maus/猫.png\n", {}),
        ("quotes.csv", 'user, path\n1, "kater/größe.png"\n2, "maus/猫.png"\n', {"where": "user < 3"}),
        ("header.txt", "path\nkater/größe.png\nmaus/猫.png\n", {}),
        ("list.json", json.dumps(["kater/größe.png", "maus/猫.png"], ensure_ascii=False), {}),
    ],
)
def test_every_form_names_the_same_images(name: str, text: str, settings: dict[str, str], encoding: str) -> None:
    assert marked(name, text.encode(encoding), **settings) == [1, 3]


def test_marks_of_the_other_byte_order() -> None:
    assert marked("list.txt", codecs.BOM_UTF16_BE + "maus/猫.png".encode("utf-16-be")) == [3]
    assert marked("list.txt", codecs.BOM_UTF32_BE + "maus/猫.png".encode("utf-32-be")) == [3]


def test_old_line_ends_and_commas_in_names() -> None:
    assert marked("mac.txt", "train/kater/eins.png\rmaus/a b.png\r") == [0, 2]
    assert marked("mac.csv", "path\rtrain/kater/eins.png\rmaus/a b.png\r") == [0, 2]
    assert marked("comma.txt", "maus/2,5.png\n'maus/a b.png'\n") == [2, 4]
    assert marked("comma.csv", 'path,x\n"maus/2,5.png",1\n') == [4]


def array(values: object) -> bytes:
    np.save("made.npy", np.asarray(values))
    return Path("made.npy").read_bytes()


@pytest.mark.parametrize("values", [[1, 3], np.array([3, 1, 3], np.uint8), np.arange(5) % 2 == 1, ["maus/猫.png", IDS[1]]])
def test_arrays(values: object) -> None:
    assert marked("forget.npy", array(values)) == [1, 3]
    assert marked("forget.json", json.dumps(np.asarray(values).tolist())) == [1, 3]


@pytest.mark.parametrize("form", ["%d", "%.1f"])
def test_a_mask_as_text_is_refused(form: str) -> None:
    np.savetxt("mask.txt", np.arange(5) % 2, form)
    text = Path("mask.txt").read_text()
    for name, content, settings in [
        ("mask.txt", text, {}),
        ("mask.txt", text, {"by": "position"}),
        ("mask.csv", f"position\n{text}", {}),
        ("mask.csv", f"forget\n{text}", {"column": "forget"}),
    ]:
        assert "5 zeros and ones, as many as train has images: make it a mask" in refusal(name, content, **settings)
    assert marked("list.txt", "0\n1\n") == [0, 1]
    assert marked("list.txt", "1\n0\n", ids=("0", "1"), by="id") == [0, 1]


@pytest.mark.parametrize("name", ["labels.npy", "labels.json", "labels.txt", "labels.csv"])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 2, 1, 0], "5 integers for 5 images, and some are the same, as in an array of labels: give each position once"),
        ([0, 1, 2, 1, 0, 3], "6 integers for 5 images"),
        ([0, 1, 0, 1, 1, 0], "6 zeros and ones, and train has 5 images: make it a mask"),
        ([0, 1, 1], "3 zeros and ones, and train has 5 images: make it a mask"),
        ([4, 3, 2, 1, 0], ""),
        ([3, 1, 3], ""),
        ([1, 1, 1], ""),
        ([1, 0], ""),
    ],
)
def test_labels_and_masks_are_no_positions(name: str, values: list[int], words: str) -> None:
    lines = "\n".join(map(str, values))
    texts = {"labels.json": json.dumps(values), "labels.txt": lines, "labels.csv": f"index\n{lines}\n"}
    content = texts[name] if name in texts else array(values)
    for settings in ({}, {"by": "position"}):
        if words:
            assert words in refusal(name, content, **settings)
        else:
            assert marked(name, content, **settings) == sorted(set(values))


def test_arrays_of_bytes_are_read_like_text() -> None:
    assert marked("bytes.npy", array(["maus/猫.png".encode(), "kater/größe.png".encode("cp1252")])) == [1, 3]
    assert "the list is not in UTF-8" in refusal("bytes.npy", array(["kater/größte.png".encode("cp1252")]))


@pytest.mark.parametrize("name", ["forget.npy", "forget.json"])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 0, 1, 1], "5 zeros and ones, as many as train has images"),
        ([True, False], "mask of all 5 images"),
        ([5], "a position from 0 to 4; 1 of 1 do not: '5'"),
        ([-1], "'-1'"),
    ],
)
def test_arrays_that_mean_nothing_here(name: str, values: list[int], words: str) -> None:
    assert words in refusal(name, array(values) if name.endswith("npy") else json.dumps(values))


@pytest.mark.parametrize("name", ["list.pkl", "list.txt", "list.csv", "list.json"])
@pytest.mark.parametrize(
    "content", [pickle.dumps([0, 3]), b"PK\3\4 workbook", "maus/猫.png\nkater/eins.png".encode("utf-16-le"), b"\0\1"]
)
def test_binary_is_refused_in_words(name: str, content: bytes) -> None:
    message = refusal(name, content)
    assert "it is binary (" in message
    assert "\\x" not in message


def test_other_files_are_refused_in_words() -> None:
    assert "need a table, forget.json is an array" in refusal("forget.json", '["maus/猫.png"]', where="a == 1")
    assert "can be read" in refusal("z.npy", b"PK\3\4")
    assert "Object arrays cannot be loaded" in refusal("o.npy", array(np.array([{}], object)))
    assert "must hold integers" in refusal("f.npy", array([0.5]))
    assert "shape (1, 2)" in refusal("s.npy", array([[1, 2]]))
    assert "can be read" in refusal("cut.npy", array([1, 2])[:20])
    for content in ('{"forget": [1]}', '[1, "a"]', "[]", "[[1]]", "[1.5]"):
        assert "JSON must be one array" in refusal("x.json", content)
    assert "can be read" in refusal("x.json", "[1,")
    assert "UTF-16" in refusal("odd.txt", codecs.BOM_UTF16_LE + b"a\0b").upper()


def test_a_windows_code_page_is_read_where_it_names_a_file() -> None:
    assert marked("ansi.txt", "kater/größe.png".encode("cp1252")) == [1]
    assert "not in UTF-8" in refusal("ansi.txt", "kater/größte.png".encode("cp1252"))
    assert "save it as CSV UTF-8" in refusal("ansi.csv", "path,x\nkater/eins.png,ö\n".encode("cp1252"), where="x == 'ö'")


@pytest.mark.parametrize("text", ["0\n17\n18\n", ",0\n0,17\n1,18\n", "3\ntrain/kater/eins.png\n"])
def test_a_header_that_is_a_number_is_refused(text: str) -> None:
    assert "the first line must be a header" in refusal("series.csv", text)


@pytest.mark.parametrize("first", ["kater/eins.png,kater", "kater,eins.png", "17,train\\kater\\eins.png"])
def test_a_header_that_is_an_image_is_refused(first: str) -> None:
    """Its image would be dropped."""
    cell = next(cell for cell in first.split(",") if "eins" in cell)
    for settings in ({}, {"column": cell}, {"by": "path"}, {"where": "kater == 'maus'"}):
        message = refusal("bare.csv", f"{first}\nmaus/a b.png,maus\n", **settings)
        assert f"the first line must be a header, but {cell!r} in it is an image: put the names of" in message
    assert "is an image" in refusal("one.csv", "kater/eins.png\nmaus/a b.png\n", column="kater/eins.png")
    assert marked("one.csv", "kater/eins.png\nmaus/a b.png\n") == [0, 2]
    assert marked("stem.csv", "path,eins\nmaus/a b.png,1\n") == [2]


def test_a_column_in_another_unicode_form_or_code_page() -> None:
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        text = unicodedata.normalize(form, "größe,x\n") + "kater/eins.png,1\n"
        assert marked("form.csv", text, column=unicodedata.normalize(other, "größe")) == [0]
    message = refusal("ansi.csv", "größe,x\nkater/eins.png,1\n".encode("cp1252"), column="größe")
    assert message.endswith("in its header is not: save it as CSV UTF-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tabs.tsv", "path\tnotes (a, b, c)\nmaus/a b.png\tx\n"),
        ("tabs.csv", "photo\tnotes (a, id, c)\nmaus/a b.png\tx\n"),
        ("one.tsv", "path\nmaus/a b.png\n"),
        ("commas.tsv", "path,user\nmaus/a b.png,1\n"),
        ("semicolons.csv", 'user;"path";notes (a, b, c, d)\r\n1;maus/a b.png;x\r\n'),
        ("last.csv", "notes (a, b, c);path\r\nx;maus/a b.png\r\n"),
        ("pipe.csv", "notes (a, b, c)|Image Path\nx|maus/a b.png\n"),
    ],
)
def test_commas_in_a_header_do_not_cut_it(name: str, text: str) -> None:
    assert marked(name, text, **({"column": "photo"} if text.startswith("photo") else {})) == [2]


def test_an_unknown_header_gets_a_hint() -> None:
    assert refusal("foto.csv", "foto\nkater/eins.png\nmaus/a b.png\n").endswith("write scheme.column='foto')")
    assert marked("foto.csv", "foto\nkater/eins.png\nmaus/a b.png\n", column="foto") == [0, 2]
