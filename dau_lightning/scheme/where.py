"""A condition on the columns of a table: comparisons joined by and, or, not. Anything else is refused, never evaluated."""

import ast
import operator
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from dau_lightning.base.error import InputError, require
from dau_lightning.base.nearest import did_you_mean
from dau_lightning.scheme.cells import NO_UTF_8, NUMBER, TRUTH, is_date, is_rounded
from dau_lightning.scheme.list_file import Row
from dau_lightning.scheme.spelling import composed

BACKTICKS = "`([^`]*)`"
EQUAL: dict[type, Any] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
ORDER: dict[type, Any] = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


class Side(NamedTuple):
    """One side of a comparison: a column, or a value of the condition, which is the same in all rows.

    Attributes:
        name: for messages.
        kind: numbers, text, or true and false; empty if there are only empty cells, which can be compared with anything.
        values: for each row; None where the cell is empty.
        cells: of a column, the text and the line of each.
    """

    name: str
    kind: str
    values: Sequence[Any]
    cells: Sequence[tuple[str, int]] = ()


def fulfilling(rows: Sequence[Row], where: str) -> list[int]:
    """The numbers of the rows that fulfil a condition such as ``user_id == 17 and country in ["NL", "BE"]``.

    Cells are text. If all cells of a column that are not empty are numbers, they are compared as numbers, without rounding;
    a zero in front makes it text. Text is compared in the Unicode form NFC.
    ``<`` and its like compare text only if all of it is ISO dates such as 2024-01-31. An empty cell equals only ``""``.

    Args:
        rows: the header, then the rows of a table.
        where: column names, numbers, quoted text and lists; ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``;
            ``and``, ``or``, ``not``. A column name that is not a Python name stands within backticks.

    Raises:
        InputError: `where` is no such condition, names a column that the table lacks, or compares what cannot be compared.
    """
    condition = _Condition(rows, where)
    return [number for number, chosen in enumerate(condition.truth(condition.tree)) if chosen]


class _Condition:
    def __init__(self, rows: Sequence[Row], where: str) -> None:
        self.header, self.rows, self.where = list(map(composed, rows[0].cells)), rows[1:], where
        self.names = {f"_backticks{number}": name for number, name in enumerate(re.findall(BACKTICKS, where))}
        names = iter(self.names)
        self.text = re.sub(BACKTICKS, lambda _: next(names), where).strip()
        try:
            self.tree = ast.parse(self.text, mode="eval").body
            named = any(isinstance(node, ast.Name) for node in ast.walk(self.tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InputError(f'scheme.where must be a condition such as "user_id == 17", got {where!r}') from error
        require(named, f"scheme.where must name a column of the table ({', '.join(self.header)}), got {where!r}")

    def truth(self, node: ast.AST, wanted: bool = True) -> list[bool]:
        """Whether a part of the condition is true in each row, or false if that is `wanted`; an empty cell is neither."""
        match node:
            case ast.BoolOp(op=join, values=parts):
                return self._joined(join, parts, wanted)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as join, left=left, right=right):
                return self._joined(join, [left, right], wanted)
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=part):
                return self.truth(part, not wanted)
            case ast.Compare(left=left, ops=operations, comparators=others):
                pairs = zip(pairwise([left, *others]), operations, strict=True)
                compared = (self._compared(*pair, operation) for pair, operation in pairs)
                return [all(each) is wanted for each in zip(*compared, strict=True)]
            case ast.Name():
                column, told = self._side(node), "scheme.where must be true or false for every row"
                require(column.kind in ("true and false", ""), f"{told}, {column.name} is not; got {self.where!r}")
                return [value is wanted for value in column.values]
        raise self._refused(node)

    def _joined(self, join: ast.AST, parts: Sequence[ast.AST], wanted: bool) -> list[bool]:
        every = isinstance(join, ast.And | ast.BitAnd) is wanted  # `a and b` is false where one of them is
        return list(map(all if every else any, zip(*(self.truth(part, wanted) for part in parts), strict=True)))

    def _compared(self, left: ast.AST, right: ast.AST, operation: ast.AST) -> list[bool]:
        side, kind = self._side(left), type(operation)
        if isinstance(operation, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple) or any(isinstance(each, ast.Name) for each in right.elts):
                raise self._refused(right)
            listed = [self._same_kind(side, self._side(each)) for each in right.elts]
            members = {value for each in listed for value in each.values[:1]}
            return [(value in members) == isinstance(operation, ast.In) for value in side.values]
        other = self._same_kind(side, self._side(right))
        if kind in EQUAL:
            return list(map(EQUAL[kind], side.values, other.values))
        if kind not in ORDER:
            raise self._refused(operation)
        if "text" in (side.kind, other.kind):
            side, other = self._dates(side), self._dates(other)
            zoned = {value.tzinfo is None for value in (*side.values, *other.values) if value}
            require(len(zoned) < 2, f"scheme.where must compare dates that all have a time zone or none; got {self.where!r}")
        pairs = zip(side.values, other.values, strict=True)
        return [None not in pair and ORDER[kind](*pair) for pair in pairs]

    def _side(self, node: ast.AST) -> Side:
        match node:
            case ast.Name(id=name):
                return self._column(self.names.get(name, name))
            case ast.Constant(value=bool() | str() as value):
                kind = "true and false" if isinstance(value, bool) else "text" if value else ""
                value = composed(value) if isinstance(value, str) else value
            case ast.Constant(value=int() | float() as value):
                kind = "numbers"
                if isinstance(value, float):  # as it is written, since 0.1 is no binary fraction
                    value = Decimal((ast.get_source_segment(self.text, node) or "").replace("_", ""))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as number):
                value, kind = -self._side(number).values[0] if self.rows else 0, "numbers"
            case _:
                raise self._refused(node)
        return Side(repr(value), kind, [value if kind else None] * len(self.rows))

    def _column(self, name: str) -> Side:
        name, strange = composed(name), next(filter(NO_UTF_8.search, self.header), None)
        if name not in self.header and strange:
            raise InputError(f"scheme.where needs a table in UTF-8, {strange!r} in its header is not: save it as CSV UTF-8")
        known = f"the columns of the table ({', '.join(self.header)})"
        require(name in self.header, f"scheme.where must name {known}, got {name!r}{did_you_mean(name, self.header)}")
        require(self.header.count(name) == 1, f"scheme.where must name one column, the table has several {name!r}: rename them")
        place = self.header.index(name)
        cells = [(row.cells[place], row.line) for row in self.rows]
        filled = {text for text, _ in cells if text}
        kind, read = "text" if filled else "", composed
        if filled and all(NUMBER.fullmatch(text) for text in filled):
            kind, read = "numbers", lambda text: Decimal(text) if re.search("[.eE]", text) else int(text)
        elif filled and {text.lower() for text in filled} <= TRUTH.keys():
            kind, read = "true and false", lambda text: TRUTH[text.lower()]
        for text, line in cells if kind == "numbers" else ():
            require(
                not is_rounded(text),
                f"scheme.where needs whole numbers in full, {text!r} in line {line} of column {name} is rounded: save the "
                "column as text",
            )
        for text, line in cells if kind == "text" else ():
            if NO_UTF_8.search(text):
                raise InputError(f"scheme.where needs a table in UTF-8, {text!r} in line {line} is not: save it as CSV UTF-8")
        return Side(f"column {name}", kind, [read(text) if text else None for text, _ in cells], cells)

    def _same_kind(self, side: Side, other: Side) -> Side:
        """The other side, if it can be compared with this one."""
        for column, kind in sorted([(side, other.kind), (other, side.kind)], key=lambda pair: pair[1] != "numbers"):
            if column.cells and kind and column.kind and kind != column.kind:
                filled = [(text, line) for text, line in column.cells if text]
                text, line = next((c for c in filled if kind == "numbers" and not NUMBER.fullmatch(c[0])), filled[0])
                raise InputError(
                    "scheme.where must compare numbers with numbers and text with text, "
                    f"{column.name} holds {column.kind} ({text!r} in line {line}); got {self.where!r}"
                )
        return other

    def _dates(self, side: Side) -> Side:
        texts = side.cells or [(text, 0) for text in side.values[:1]]
        for text, line in texts:
            require(
                not text or is_date(text),
                "scheme.where can order numbers, and text if all of it is dates such as 2024-01-31; "
                f"{side.name} has {text!r}{f' in line {line}' if line else ''}; got {self.where!r}",
            )
        return Side(side.name, "text", [datetime.fromisoformat(text) if text else None for text in side.values])

    def _refused(self, node: ast.AST) -> InputError:
        return InputError(
            "scheme.where may compare columns with values and join comparisons by and, or, not; "
            f"{type(node).__name__.lower()} is not allowed, got {self.where!r}"
        )
