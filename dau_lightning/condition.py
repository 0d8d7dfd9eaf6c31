"""A condition on the columns of a table: comparisons joined by and, or, not; whatever else is refused before pandas sees it."""

import ast
import re
from typing import TYPE_CHECKING, Any, cast

from dau_lightning.error import InputError

if TYPE_CHECKING:
    import pandas

LOGIC = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.Invert,
    ast.USub,
    ast.BinOp,
    ast.BitAnd,
    ast.BitOr,
)
COMPARISONS = ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn
VALUES = ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple


def fulfilling(table: "pandas.DataFrame", where: str) -> "pandas.DataFrame":
    """The rows of a table that fulfil a condition such as ``user_id == 17 and country in ["NL", "BE"]``.

    Args:
        table: with named columns.
        where: column names, numbers, quoted text and lists; ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``;
            ``and``, ``or``, ``not``. A name that is no Python name stands within backticks.

    Raises:
        InputError: it is no such condition, names a column that there is not, or compares what cannot be compared.
    """
    for name in _names(where):
        if name not in table.columns:
            raise InputError(
                f"scheme.where must name columns of the table ({', '.join(map(str, table.columns))}), got {name!r}"
            )
    try:
        chosen: Any = table.eval(where, engine="python")
    except Exception as error:  # pandas raises whatever the comparison of two types does
        raise InputError(f"scheme.where cannot be evaluated: {type(error).__name__}: {error}; got {where!r}") from error
    if str(getattr(chosen, "dtype", None)) != "bool" or len(chosen) != len(table):
        raise InputError(f"scheme.where must be true or false for every row, got {where!r}")
    return cast("pandas.DataFrame", table[chosen])


def _names(where: str) -> list[str]:
    """The columns that a condition names."""
    quoted = re.findall(r"`([^`]*)`", where)
    try:
        nodes = list(ast.walk(ast.parse(re.sub(r"`[^`]*`", "_backticks", where).strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f'scheme.where must be a condition such as "user_id == 17", got {where!r}') from error
    for node in nodes:
        if not isinstance(node, LOGIC + COMPARISONS + VALUES):
            raise InputError(
                "scheme.where may compare columns with values and join comparisons by and, or, not; "
                f"{type(node).__name__.lower()} is not allowed, got {where!r}"
            )
    return quoted + [node.id for node in nodes if isinstance(node, ast.Name) and node.id != "_backticks"]
