import pandas
import pytest

from dau_lightning.base.error import InputError
from dau_lightning.scheme.where import fulfilling

TABLE = pandas.DataFrame(
    {"a": [1, 2, 3, 4], "b": ["x", "y", "x", None], "c d": [0.5, -1, None, 2], "flag": [True, False, True, True]}
)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("a == 2", lambda row: row.a == 2),
        ("1 < a <= 3", lambda row: 1 < row.a <= 3),
        ("a in [1, 4] and b != 'x'", lambda row: row.a in (1, 4) and row.b != "x"),
        ("not (a == 1 or b == 'y')", lambda row: not (row.a == 1 or row.b == "y")),
        ("(a == 1) | (a == 3) & ~(b == 'x')", lambda row: row.a == 1 or (row.a == 3 and row.b != "x")),
        ("`c d` > -2", lambda row: row["c d"] > -2),
        ("b not in ['x']", lambda row: row.b != "x"),
        ("flag", lambda row: row.flag),
        ("flag and a > 1", lambda row: row.flag and row.a > 1),
    ],
)
def test_the_rows_are_those_of_a_plain_loop(where, expected):
    assert list(fulfilling(TABLE, where).index) == [index for index, row in TABLE.iterrows() if expected(row)]


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
def test_whatever_is_no_comparison_is_refused(where):
    with pytest.raises(InputError, match=r"^scheme\.where (must|may)") as caught:
        fulfilling(TABLE, where)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("user == 1", r"columns of the table \(a, b, c d, flag\), got 'user'"),
        ("`c` == 1", "got 'c'"),
        ("a", "true or false for every row"),
        ("1 == 1", "true or false for every row"),
        ("b > a", "cannot be evaluated"),
        ("b > 3", r"text with text, column b holds text; got 'b > 3'"),
        ("a != '2'", "column a holds numbers"),
        ("`c d` not in ['x', 'y']", "column c d holds numbers"),
        ("a == 1 and b != -1", "column b holds text"),
    ],
)
def test_a_condition_that_does_not_fit_the_table(where, words):
    with pytest.raises(InputError, match=words):
        fulfilling(TABLE, where)
