"""Conditions, against a plain loop over rows, and what is refused."""

import math
import random
import unicodedata
from collections.abc import Callable
from typing import Literal

import pytest

from dau_lightning.base.error import InputError
from dau_lightning.scheme.list_file import Row
from dau_lightning.scheme.where import fulfilling

TABLE = ["a,b,c d,flag", "1,x,0.5,True", "2,y,-1,False", "3,x,,true", "4,,2,TRUE"]


def table(*lines: str) -> list[Row]:
    return [Row(line.split(","), number) for number, line in enumerate(lines, 1)]


def chosen(where: str, *lines: str) -> list[int]:
    return fulfilling(table(*(lines or TABLE)), where)


def refusal(where: str, *lines: str) -> str:
    with pytest.raises(InputError, match=r"^scheme\.where ") as caught:
        chosen(where, *lines)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("a == 2", lambda a, b, c, flag: a == 2),
        ("1 < a <= 3", lambda a, b, c, flag: 1 < a <= 3),
        ("a in [1, 4] and b != 'x'", lambda a, b, c, flag: a in (1, 4) and b != "x"),
        ("not (a == 1 or b == 'y')", lambda a, b, c, flag: not (a == 1 or b == "y")),
        ("not (flag and a > 1) and not (b == 'y' or a > 3)", lambda a, b, c, flag: a == 1),
        ("(a == 1) | (a == 3) & ~(b == 'x')", lambda a, b, c, flag: a == 1 or (a == 3 and b != "x")),
        ("`c d` > -2", lambda a, b, c, flag: c > -2),
        ("`c d` in [0.5, -1]", lambda a, b, c, flag: c in (0.5, -1)),
        ("b not in ['x']", lambda a, b, c, flag: b != "x"),
        ("b == ''", lambda a, b, c, flag: b == ""),
        ("`c d` == '' or a == 1", lambda a, b, c, flag: math.isnan(c) or a == 1),
        ("flag", lambda a, b, c, flag: flag),
        ("flag == False", lambda a, b, c, flag: not flag),
        ("flag and a > 1", lambda a, b, c, flag: flag and a > 1),
        ("a != `c d`", lambda a, b, c, flag: a != c),
        ("1 == 1 and a > 2", lambda a, b, c, flag: a > 2),
    ],
)
def test_the_rows_are_those_of_a_plain_loop(where: str, expected: Callable[..., bool]) -> None:
    rows = [(1, "x", 0.5, True), (2, "y", -1, False), (3, "x", math.nan, True), (4, "", 2, True)]
    assert chosen(where) == [number for number, row in enumerate(rows) if expected(*row)]


def test_an_empty_cell_is_neither_true_nor_false() -> None:
    cells = ["consent,x", "true,1", "false,1", ",1"]
    for where in ("not consent", "~consent", "consent == False", "not (consent)", "not (consent or x == 2)"):
        assert chosen(where, *cells) == [1]
    for where in ("consent", "consent == True", "not not consent", "not (not consent and x == 1)"):
        assert chosen(where, *cells) == [0]
    assert "true or false for every row, column x is not" in refusal("not x", *cells)


def test_cells_are_exact() -> None:
    ids = ["1234567890123456789", "1234567890123456788", "", "0.1", "1e2"]
    assert chosen("id == 1234567890123456789", "id,x", *(f"{each},1" for each in ids)) == [0]
    assert chosen("id == 0.1", "id,x", *(f"{each},1" for each in ids)) == [3]
    assert chosen("id <= 100", "id,x", *(f"{each},1" for each in ids)) == [3, 4]
    assert chosen("id != 1234567890123456789", "id,x", *(f"{each},1" for each in ids)) == [1, 2, 3, 4]
    assert chosen("id > 5", "id,x", *(f"{each},1" for each in ids[2:3])) == []


def test_numbers_with_zeros_in_front_are_text() -> None:
    assert chosen("id == '007'", "id,x", "007,1", "7,1") == [0]
    assert "column id holds text ('007' in line 3)" in refusal("id == 7", "id,x", "7,1", "007,1")
    assert chosen("a < 0.75 and a != -0", "a,x", "0.5,1", "0,1") == [0]


LARGE = ["1.2345678901234568e+16", "-1.2345678901234568e16", "12345678901234568.0", "9.007199254740992e15"]  # from 2^53 on


@pytest.mark.parametrize("cell", ["1.23457E+18", "1.2345678901234568e+18", "1e+06", "-1.23457e9", *LARGE])
def test_a_rounded_number_is_refused(cell: str) -> None:
    assert f"{cell!r} in line 3 of column id is rounded" in refusal("id == 5", "id,x", "5,1", f"{cell},1")


def test_numbers_in_full_are_not_rounded() -> None:
    assert chosen("a >= 100", "a,x", "1.500000000000000000e+02,1", "1e2,1", "1.2345e-7,1", "1.5E+3,1") == [0, 1, 3]
    assert chosen("a == 9007199254740991", "a,x", "9007199254740991.0,1", "9.007199254740991e15,1", "5,1") == [0, 1]
    assert chosen("a == 9007199254740993", "a,x", "9007199254740993,1", "9007199254740992,1", "0.5,1") == [0]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_text_is_compared_in_one_unicode_form(form: Literal["NFC", "NFD"]) -> None:
    cells = [f"{unicodedata.normalize(other, 'Köln')},1" for other in ("NFC", "NFD")]
    for where in ("city == 'Köln'", "city in ['Köln', 'Bonn']"):
        assert chosen(unicodedata.normalize(form, where), "city,x", *cells, "Bonn,1")[:2] == [0, 1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_headers_are_compared_in_one_unicode_form(form: Literal["NFC", "NFD"]) -> None:
    for other in ("NFC", "NFD"):
        lines = [unicodedata.normalize(other, "Größe,x"), "3,1", "4,1"]
        for where in ("Größe == 4", "`Größe` == 4"):
            assert chosen(unicodedata.normalize(form, where), *lines) == [1]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "-", "inf", "1_000"])
def test_words_that_other_programs_take_for_nothing_are_text(word: str) -> None:
    assert chosen(f"country in ['{word}', 'BE']", "path,country", f"a,{word}", "b,BE", "c,NL") == [0, 1]
    assert f"column country holds text ('{word}' in line 2)" in refusal("country > 3", "path,country", f"a,{word}", "b,4")


def test_dates_are_ordered_only_if_all_are_iso() -> None:
    assert chosen('date < "2024-01-15"', "date,x", "2024-01-05,1", "2023-12-20,1", "2024-06-10,1", ",1") == [0, 1]
    assert chosen('date >= "2024-01-05T10:30"', "date,x", "2024-01-05T10:29:59,1", "2024-01-05 10:30,1") == [1]
    assert "column date has '05.01.2024' in line 2" in refusal('date < "2024-01-15"', "date,x", "05.01.2024,1")
    assert "column date has '2024-02-30' in line 3" in refusal('date < "2024-01-15"', "date,x", "2024-01-01,1", "2024-02-30,1")
    assert """'15.01.2024' has '15.01.2024'""" in refusal('date < "15.01.2024"', "date,x", "2024-01-01,1")
    assert "time zone" in refusal('date < "2024-01-15"', "date,x", "2024-01-01T00:00Z,1")


def test_random_numbers_compare_as_in_python() -> None:
    draws = random.Random(0)
    values = [draws.randrange(-5, 5) for _ in range(200)]
    lines = ["n,x", *(f"{value},1" for value in values)]
    for sign in ("==", "!=", "<", "<=", ">", ">="):
        assert chosen(f"n {sign} -2", *lines) == [i for i, n in enumerate(values) if eval(f"{n} {sign} -2")]


def test_another_code_page_is_refused_where_it_is_compared() -> None:
    strange = "M\udcfcller"
    assert chosen("x == 1", "name,x", f"{strange},1") == [0]
    assert chosen("x == 1", f"{strange},x", "a,1") == [0]
    assert "in its header is not: save it as CSV UTF-8" in refusal("Müller == 1", f"{strange},x", "a,1")
    assert "in line 2 is not: save it as CSV UTF-8" in refusal("name == 'Müller'", "name,x", f"{strange},1")


@pytest.mark.parametrize(
    "where",
    [
        "__import__('os').system('true')",
        "a.sum() == 1",
        "b.str == 'x'",
        "@TABLE == 1",
        "a == @x",
        "(lambda: 1)() == a",
        "[x for x in a]",
        "a[0] == 1",
        "a == 2; a == 3",
        "a = 2",
        "(a := 2)",
        "'x' * 999999999 == b",
        "9 ** 9 ** 9 == a",
        "f'{a}' == b",
        "a == 1 if b else 2",
        "`c d`.real == 1",
        "`a` == '`' or @x == '`'",
        "",
        "a ==",
        "(" * 5000,
    ],
)
def test_whatever_is_no_comparison_is_refused(where: str) -> None:
    assert refusal(where).startswith(("scheme.where must", "scheme.where may"))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("user == 1", "columns of the table (a, b, c d, flag), got 'user'"),
        ("flg", "; did you mean 'flag'?"),
        ("`c` == 1", "got 'c'"),
        ("a", "true or false for every row, column a is not"),
        ("1 == 1", "must name a column"),
        ("b > a", "column b holds text ('x' in line 2)"),
        ("b > 3", "text with text, column b holds text ('x' in line 2); got 'b > 3'"),
        ("a != '2'", "column a holds numbers ('1' in line 2)"),
        ("`c d` not in ['x', 'y']", "column c d holds numbers"),
        ("a == 1 and b != -1", "column b holds text"),
        ("a in b", "name is not allowed"),
        ("a in [b]", "list is not allowed"),
        ("'x' in b", "name is not allowed"),
        ("flag > 1", "column flag holds true and false"),
        ("a is 1", "is is not allowed"),
        ("a == b == 1", "column b holds text"),
        ("a == None", "constant is not allowed"),
        ("a == 1j", "constant is not allowed"),
    ],
)
def test_a_condition_that_does_not_fit_the_table(where: str, words: str) -> None:
    assert words in refusal(where)
