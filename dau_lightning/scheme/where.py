"""A condition on the columns of a table: comparisons joined by and, or, not. Anything else is refused, never evaluated."""

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dau_lightning.base.error import InputError

if TYPE_CHECKING:
    import pandas

LOGIC = ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.BitAnd, ast.BitOr
VALUES = ast.Compare, ast.cmpop, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple
BACKTICKS = "`([^`]*)`"


def fulfilling(table: "pandas.DataFrame", where: str) -> "pandas.DataFrame":
    """The rows of a table that fulfil a condition such as ``user_id == 17 and country in ["NL", "BE"]``.

    Args:
        table: a table with named columns.
        where: column names, numbers, quoted text and lists; ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``;
            ``and``, ``or``, ``not``. A column name that is not a Python name stands within backticks.

    Raises:
        InputError: `where` is no such condition, names a column that the table lacks, or compares text with numbers.
    """
    nodes, names = _parsed(where)
    for name in names.values():
        if name not in table.columns:
            raise InputError(
                f"scheme.where must name columns of the table ({', '.join(map(str, table.columns))}), got {name!r}"
            )
    for node in nodes:
        if isinstance(node, ast.Compare):
            _refuse_other_kinds(node, table, names, where)
    try:
        chosen: Any = table.eval(where, engine="python")
    except Exception as error:  # pandas passes on the errors of the compared types
        raise InputError(f"scheme.where cannot be evaluated: {type(error).__name__}: {error}; got {where!r}") from error
    if str(getattr(chosen, "dtype", None)) != "bool" or len(chosen) != len(table):
        raise InputError(f"scheme.where must be true or false for every row, got {where!r}")
    return cast("pandas.DataFrame", table[chosen])


def _parsed(where: str) -> tuple[list[ast.AST], dict[str, str]]:
    """The syntax nodes of a condition, and the column name for each name in these nodes."""
    quoted = {f"_backticks{number}": name for number, name in enumerate(re.findall(BACKTICKS, where))}
    names = iter(quoted)
    try:
        nodes = list(ast.walk(ast.parse(re.sub(BACKTICKS, lambda _: next(names), where).strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f'scheme.where must be a condition such as "user_id == 17", got {where!r}') from error
    for node in nodes:
        if not isinstance(node, LOGIC + VALUES):
            raise InputError(
                "scheme.where may compare columns with values and join comparisons by and, or, not; "
                f"{type(node).__name__.lower()} is not allowed, got {where!r}"
            )
    return nodes, {node.id: node.id for node in nodes if isinstance(node, ast.Name)} | quoted


def _refuse_other_kinds(compared: ast.Compare, table: "pandas.DataFrame", names: Mapping[str, str], where: str) -> None:
    """Raise an error if numbers are compared with text: to pandas they differ, so != and not in would hold for every row."""
    from pandas.api.types import is_numeric_dtype, is_string_dtype

    sides = [part for side in (compared.left, *compared.comparators) for part in getattr(side, "elts", [side])]
    plain = [part.operand if isinstance(part, ast.UnaryOp) else part for part in sides]  # -1 is 1 with a sign
    values = {type(part.value) for part in plain if isinstance(part, ast.Constant)}
    for name in (names[part.id] for part in sides if isinstance(part, ast.Name)):
        text, numbers = is_string_dtype(table[name]), is_numeric_dtype(table[name])
        if (numbers and str in values) or (text and values & {int, float}):
            raise InputError(
                "scheme.where must compare numbers with numbers and text with text, "
                f"column {name} holds {'text' if text else 'numbers'}; got {where!r}"
            )
