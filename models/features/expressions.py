"""Arithmetic over columns, as in the configuration's `derived`: `price_paid / log1p(area)`.

Expressions are parsed by Python's own parser; anything but arithmetic is rejected:

    >>> parse("('Gr Liv Area' - basement) / max(rooms, 1)").columns
    ('Gr Liv Area', 'basement', 'rooms')

This module does not depend on tensors: `Expression.evaluate` takes functions that compute.
"""

import ast
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import TypeVar

from models.errors import UserError

FUNCTIONS = {"log1p": 1, "sqrt": 1, "abs": 1, "min": None, "max": None}
"""Number of arguments of each function; None means two or more."""

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}

_ALLOWED = (
    "expected columns (in quotes if the name is not a word), numbers, + - * / **, parentheses, "
    "log1p(), sqrt(), abs(), min(a, b), max(a, b)"
)
_DEEPEST = 200
"""Maximum nesting depth; a sum of n columns has depth n."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Expression:
    """Parsed expression.

    Attributes:
        text: the expression as written.
        columns: the columns it reads, each once, in order.
    """

    text: str
    columns: tuple[str, ...]
    _tree: ast.expr = dataclasses.field(repr=False, compare=False)

    def evaluate(
        self,
        column: Callable[[str], T],
        number: Callable[[float], T],
        step: Callable[[str, list[T]], T],
    ) -> T:
        """Evaluates the expression from the inside out.

        Args:
            column: returns the value of a column.
            number: returns the value of a number.
            step: applies an operator (`+ - * / **` or `negative`) or a function to its arguments.
        """

        def value(node: ast.expr) -> T:
            if isinstance(node, ast.Constant):
                if isinstance(node.value, str):
                    return column(node.value)
                assert isinstance(node.value, (int, float))
                return number(float(node.value))
            if isinstance(node, ast.Name):
                return column(node.id)
            if isinstance(node, ast.BinOp):
                return step(OPERATORS[type(node.op)], [value(node.left), value(node.right)])
            if isinstance(node, ast.UnaryOp):
                operand = value(node.operand)
                return operand if isinstance(node.op, ast.UAdd) else step("negative", [operand])
            assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            return step(node.func.id, [value(argument) for argument in node.args])

        return value(self._tree)


def parse(text: str) -> Expression:
    """Parses an expression.

    Raises:
        UserError: the text is not arithmetic over columns; the one-line message says what was
            found and what is expected.
    """
    text = text.strip()
    if not text.isprintable():  # Python's parser has its own errors for some of these.
        raise UserError(f"found {text!r}, expected one line of printable characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in quotes
            tree = ast.parse(text, mode="eval").body
        columns = list(dict.fromkeys(_columns(tree, 1)))
    except SyntaxError:
        raise UserError(f"found {text!r}, {_ALLOWED}") from None
    except (RecursionError, MemoryError):
        raise UserError(f"is nested too deeply; expected at most {_DEEPEST} levels") from None
    if not columns:
        raise UserError(f"found {text!r}, expected at least one column")
    return Expression(text, tuple(columns), tree)


def _columns(node: ast.expr, depth: int) -> list[str]:
    """Returns the columns below a node, in order; raises an error if it is not arithmetic."""
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and node.value:
            return [node.value]
        _check_number(node)
        return []
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        parts = [node.operand]
    elif isinstance(node, ast.Call):
        _check_call(node)
        parts = node.args
    else:
        raise UserError(f"found {ast.unparse(node)!r}, {_ALLOWED}")
    return [column for part in parts for column in _columns(part, depth + 1)]


def _check_number(node: ast.Constant) -> None:
    if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
        raise UserError(f"found {ast.unparse(node)!r}, {_ALLOWED}")
    try:
        finite = math.isfinite(float(node.value))
    except OverflowError:
        finite = False
    if not finite:
        raise UserError("found a number beyond 1.8e308, expected a smaller one")


def _check_call(node: ast.Call) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in FUNCTIONS or node.keywords:
        raise UserError(f"found {ast.unparse(node)!r}, {_ALLOWED}")
    arity = FUNCTIONS[name]
    if arity is None and len(node.args) < 2:
        raise UserError(f"found {ast.unparse(node)!r}, expected two or more arguments to {name}()")
    if arity is not None and len(node.args) != arity:
        raise UserError(f"found {ast.unparse(node)!r}, expected one argument to {name}()")
