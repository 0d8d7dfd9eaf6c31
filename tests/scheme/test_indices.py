import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.indices import Indices

TABLE = "path,user_id,country\ntrain/a/2.png,17,NL\n./train/b/0.png,17,BE\na/0.png,3,NL\ntrain/b/1.png,18,\n"


def named(*ids: str) -> Images:
    count = len(ids)
    return Images(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), torch.arange(count) % 2, ("a", "b"), ids)


FILES = named("train/a/0.png", "train/a/1.png", "train/a/2.png", "train/b/0.png", "train/b/1.png")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, name: str = "forget.txt", encoding: str = "utf-8") -> str:
        (tmp_path / name).write_text(text, encoding=encoding)
        return str(tmp_path / name)

    return write


def marked(train: Images, file: str, where: str | None = None, column: str | None = None) -> list[int]:
    return Indices(file, where, column)(train, torch.Generator()).nonzero().flatten().tolist()


def refusal(train: Images, file: str, where: str | None = None, column: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        marked(train, file, where, column)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "train/b/0.png\ntrain/a/1.png\n",
        "train/a/1.png\n\n  train/b/0.png  ",
        "./train/a/1.png\r\nb/0.png\r\n",
        "train\\a\\1.png\n3",
    ],
)
def test_a_list_of_paths_in_any_order_and_notation(write: Callable[..., str], text: str) -> None:
    train = named(*FILES.ids, "3") if text.endswith("3") else FILES
    assert marked(train, write(text)) == ([1, 5] if text.endswith("3") else [1, 3])
    assert marked(train, write(text, encoding="utf-8-sig")) == ([1, 5] if text.endswith("3") else [1, 3])


@pytest.mark.parametrize("name", ["list.txt", "table.csv"])
def test_lines_end_where_an_editor_ends_them(write: Callable[..., str], name: str) -> None:
    train = named("train/a/1\u2028.png", "train/a/2.png", "train/a/\x853.png", "train/a/4\x0c.png")
    assert marked(train, write("path\r\na/1\u2028.png\r\na/\x853.png\na/4\x0c.png\n"[6 * (name == "list.txt") :], name)) == [
        0,
        2,
        3,
    ]


def test_positions_where_no_id_is_meant(write: Callable[..., str]) -> None:
    assert marked(FILES, write("4\n3\n")) == [3, 4]
    assert "a position from 0 to 4; 1 of 2 do not: '5'" in refusal(FILES, write("4\n5\n"))


def test_ids_that_are_numbers_win_over_positions(write: Callable[..., str]) -> None:
    train = named("2", "0", "1")
    assert marked(train, write("2\n")) == [0]
    assert marked(named("0002", "0000", "0001"), write("2\n")) == [2]  # no id: a position


@pytest.mark.parametrize("text", ["0002\n0006\n", "1\n2\n0002\n", "0006\n", "00\n", f"{'9' * 5000}\n", "2\n7\n"])
def test_a_mistaken_id_is_no_position(write: Callable[..., str], text: str) -> None:
    train = named("0002", "0000", "0001", "0004", "0005", "0008", "0009", "7")
    assert "must name a training image by an id such as '0002', or all by positions" in refusal(train, write(text))


def test_duplicates_count_once_and_are_told(write: Callable[..., str]) -> None:
    scheme = Indices(write("a/1.png\ntrain/a/1.png\na/1.png\nb/0.png\n"), None, None)
    assert int(scheme(FILES, torch.Generator()).sum()) == 2
    assert scheme.found == {
        "file": "forget.txt",
        "entries": 4,
        "duplicates": 2,
        "matched_by": "id",
    }


@pytest.mark.parametrize("text", [b"caf\xe9.png\n", b"path,x\ncaf\xe9.png,1\n"])
def test_names_that_are_no_utf_8_are_those_of_the_file_system(tmp_path: Path, text: bytes) -> None:
    (tmp_path / ("table.csv" if b"," in text else "list.txt")).write_bytes(text)
    (file,) = tmp_path.iterdir()
    assert marked(named("train/tea.png", "train/" + os.fsdecode(b"caf\xe9.png")), str(file)) == [1]
    assert r"'caf\udce9.png'" in refusal(FILES, str(file))


@pytest.mark.parametrize("photo", ["train/a/0.png", "a/0.PNG", "0.png", "/data/x/train/a/0.png"])
@pytest.mark.parametrize("name", ["index", "idx", "Position", "id"])
def test_numbers_beside_a_column_of_images_are_refused(write: Callable[..., str], name: str, photo: str) -> None:
    train = named("train/a/0.png", "train/b/c.png", "train/b/d.png")
    file = write(f"{name},label,photo\n1,a,b/none.png\n2,b,{photo}\n", "t.csv")
    if photo.startswith("/data"):  # of another folder
        assert name == "id" or marked(train, file) == [1, 2]
        return
    message = refusal(train, file)
    assert f"column {name} has numbers, but column photo has names of images" in message
    assert message.endswith(f"write scheme.column='photo' or scheme.column={name!r}")
    assert name == "id" or marked(train, file, column=name) == [1, 2]
    assert photo == "0.png" or marked(train, write(f"{name},photo\n1,{photo}\n", "u.csv"), column="photo") == [0]


@pytest.mark.parametrize(
    ("column", "cells", "refused"),
    [
        ("photo", ["d", "c"], True),
        ("what", ["d", "c"], True),
        ("photo", ["0", "17"], True),
        ("my image id", ["17.0", ""], True),
        ("photo", ["3", "4"], False),
        ("user_id", ["0", "17"], False),
        ("image_label", ["0", "17"], False),
        ("file size", ["0", "17"], False),
    ],
)
def test_numbers_beside_a_column_of_names_are_refused(
    write: Callable[..., str], column: str, cells: list[str], refused: bool
) -> None:
    train = named("train/a/0a.png", "train/a/17.png", "train/b/c.png", "train/b/d.png")
    file = write(f"index,{column}\n0,{cells[0]}\n1,{cells[1]}\n", "t.csv")
    if refused:
        assert f"column index has numbers, but column {column} has names of images" in refusal(train, file)
    else:
        assert marked(train, file) == [0, 1]


def test_the_column_of_positions_is_told(write: Callable[..., str]) -> None:
    scheme = Indices(write("index,x\n3,1\n", "t.csv"), None, None)
    scheme(FILES, torch.Generator())
    assert (scheme.found["matched_by"], scheme.found["column"]) == ("position", "index")


def test_the_condition_is_in_the_record(write: Callable[..., str]) -> None:
    scheme = Indices(write(TABLE, "table.csv"), "user_id == 17", None)
    scheme(FILES, torch.Generator())
    assert scheme.found["where"] == "user_id == 17"


def test_nothing_is_dropped_silently(write: Callable[..., str]) -> None:
    unknown = [f"train/c/{i}.png" for i in range(1200)]
    message = refusal(FILES, write("\n".join([*unknown, "train/a/1.png", *unknown])))
    assert "an id such as 'train/a/0.png', or all by positions; 1,200 of 1,201 do not: 'train/c/0.png', " in message
    assert message.endswith("'train/c/4.png', ...")
    assert "never trained on" in refusal(FILES, write("test/a/1.png"))
    assert "relative to dataset.root" in refusal(FILES, write("/data/train/a/1.png"))
    assert "it names none" in refusal(FILES, write("\n \n"))
    assert "no/where.txt" in refusal(FILES, "no/where.txt")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, [0, 2, 3, 4]),
        ("user_id == 17", [2, 3]),
        ("user_id > 3 and not country == 'BE'", [2, 4]),
        ("country in ['NL'] or user_id == 18", [0, 2, 4]),
        ("path == 'a/0.png'", [0]),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_of_a_table(write: Callable[..., str], where: str | None, expected: list[int], separator: str) -> None:
    assert marked(FILES, write(TABLE.replace(",", separator), "table.csv"), where) == expected


def test_the_column_that_names_samples(write: Callable[..., str]) -> None:
    both = write("id,path,user id\n7,train/a/1.png,17\n8,train/b/0.png,18\n", "table.csv")
    assert "scheme.column must be the column of" in refusal(FILES, both)
    assert "one of id, path, user id; got null" in refusal(FILES, both)
    assert "got photo" in refusal(FILES, both, column="photo")
    assert marked(FILES, both, column="path") == [1, 3]
    assert marked(FILES, both, "`user id` == 18", column="path") == [3]
    assert marked(FILES, write("train/a/1.png\nb/0.png\n", "bare.csv")) == [1, 3]  # no header
    assert marked(named("007", "7"), write("id,x\n007,1\n", "zeros.csv")) == [0]
    twice = write("x,id,x\n1,a/1.png,2\n", "twice.csv")
    assert marked(FILES, twice) == [1]
    assert "the table has several 'x': rename them" in refusal(FILES, twice, "x == 1")
    assert "must have one column 'x', not several: rename them" in refusal(FILES, twice, column="x")


@pytest.mark.parametrize(
    "name",
    [
        *("ImageID", "photo_id", "imageid", "uuid", "asset_id", "ImageIDs", "imageId", "IDImage", "photo-key", "Photo.Id"),
        *("guid", "GUID", "file_uuid", "PhotoFile", "photo_name", "image/path", "ids", "#id"),
    ],
)
def test_numbers_in_a_column_of_ids_are_refused(write: Callable[..., str], name: str) -> None:
    message = refusal(FILES, write(f"{name},x\n3,1\n", "t.csv"), column=name)
    assert "'3' can be position 3, which is train/b/0.png, or an id, which no image here has: write scheme.by=" in message


@pytest.mark.parametrize("name", ["index", "img", "Index", "Position", "row", "video index"])
def test_numbers_in_another_column_are_positions(write: Callable[..., str], name: str) -> None:
    file = write(f"{name},x\n3,1\n", "t.csv")
    assert marked(FILES, file, column=name) == [3]


@pytest.mark.parametrize(
    "text",
    [
        "index,user_id\n5,17,\n7,17,\n9,18,\n",
        "index,user_id\n5,17\n7,17,, ,\n9,18,\n",
        "index,user_id,\n5,17,\n7,17\n9,18,,\n",
        "index;user_id\r\n5;17;\r\n7;17;\r\n9;18;\r\n",
    ],
)
def test_empty_fields_behind_the_last_column_shift_nothing(write: Callable[..., str], text: str) -> None:
    train = named(*(f"train/{index}.png" for index in range(20)))
    assert marked(train, write(text, "t.csv")) == [5, 7, 9]
    assert marked(train, write(text, "t.csv"), "user_id == 17") == [5, 7]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("index,user_id\n1,17,3\n2,17,3\n", "2; line 2 has 3"),
        ("index,user_id\n1,17\n2,17,\n\n3,17,,4\n", "2; line 5 has 4"),
        ('index,user_id\n1,"1\n7"\n2,17,3\n', "2; line 4 has 3"),
        ("a/0.png\na/1.png,17\n", "1; line 2 has 2"),
    ],
)
def test_a_row_with_more_fields_than_the_header_is_refused(write: Callable[..., str], text: str, line: str) -> None:
    assert f"no row may have more fields than the header, which has {line}" in refusal(FILES, write(text, "t.csv"))


def test_a_field_too_long_for_any_table_is_one_line(write: Callable[..., str]) -> None:
    assert "can be read" in refusal(FILES, write(f"path,x\na/0.png,{'x' * 200_000}\n", "long.csv"))


def test_a_condition_on_the_column_that_names_samples(write: Callable[..., str]) -> None:
    table = write("position,user_id\n0,17\n3,18\n1,17\n", "t.csv")
    assert marked(FILES, table, "position == 3") == [3]
    assert marked(FILES, table, "position < 2 and user_id == 17") == [0, 1]
    assert "column position holds numbers" in refusal(FILES, table, "position != '3'")  # else true for every row
    zeros = write("id,x\n007,1\n8,1\n", "zeros.csv")
    assert marked(named("7", "007", "8"), zeros, "id == '007'") == [1]
    assert "column id holds text ('007' in line 2)" in refusal(FILES, zeros, "id == 7")


@pytest.mark.slow
def test_a_column_of_numbers_and_text_is_text_as_a_whole(write: Callable[..., str]) -> None:
    """Not the first half million rows numbers and the others text, of which a condition would then see the first alone."""
    rows = "".join(f"{row},17\n" for row in range(300_000))
    table = write(f"index,user\n{rows}4,x\n", "t.csv")
    assert marked(FILES, table, "user == 'x'") == [4]
    assert "none of 300,001" in refusal(FILES, table, "user == '18'")


def test_tables_that_cannot_be_used(write: Callable[..., str]) -> None:
    table = write(TABLE, "table.csv")
    assert "is for none of 4" in refusal(FILES, table, "user_id == 99")
    assert "(path, user_id, country), got 'user'" in refusal(FILES, table, "user == 17")
    assert "column path must name a sample in every row, 1 are empty" in refusal(
        FILES, write("path,x\n,1\na/0.png,2\n", "e.csv")
    )
    assert "can be read" in refusal(FILES, write("", "empty.csv"))
    assert "can be read" in refusal(FILES, write('path,x\n"a', "broken.csv"))


@pytest.mark.slow
def test_a_million_lines_take_seconds(write: Callable[..., str]) -> None:
    ids = tuple(f"train/{i:07d}" for i in range(1_000_000))
    count = len(ids)
    train = Images(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64), ("a",), ids)
    assert len(marked(train, write("\n".join(reversed(ids))))) == count
    few = ids[:100_000]
    assert len(marked(train, write("id,x\n" + ",1\n".join(few) + ",2\n", "all.csv"), "x == 1")) == len(few) - 1
