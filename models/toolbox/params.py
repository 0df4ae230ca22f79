"""Validation of `model.params` against the dataclass in which a `model_fn` declares them.

`Count`, `Positive`, `NotNegative` and `Share` are bounded number types for its fields.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from models.errors import UserError, nearest

T = TypeVar("T")

CONTEXT = "context"
"""The only key of an Estimator's `params` that does not come from the configuration."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Range of values that a field accepts, attached to its type by `Annotated`.

    Attributes:
        text: description of the range for error messages.
        hold: returns whether a number is in the range.
    """

    text: str
    hold: Callable[[float], bool]


Count = Annotated[int, Bounds("a whole number above zero", lambda value: value > 0)]
Positive = Annotated[float, Bounds("a number above zero", lambda value: 0 < value < math.inf)]
NotNegative = Annotated[
    float, Bounds("a number of zero or more", lambda value: 0 <= value < math.inf)
]
Share = Annotated[float, Bounds("a number from 0 to below 1", lambda value: 0 <= value < 1)]


def parse_params(declared: type[T], params: Mapping[str, Any]) -> T:
    """Builds the dataclass from the parameters in the configuration.

    Args:
        declared: a dataclass of numbers, text, booleans and tuples of these; any may be optional.
        params: values by name; `context` is ignored.

    Raises:
        UserError: a name is not declared, a required value is missing, or a value has the wrong
            type or is out of range.
    """
    hints = typing.get_type_hints(declared, include_extras=True)
    values = {}
    for name, value in params.items():
        if name == CONTEXT:
            continue
        if name not in hints:
            raise UserError(f"model.params.{name}: unknown parameter{nearest(name, hints)}")
        values[name] = _as(hints[name], value, name)
    missing = [
        field.name
        for field in dataclasses.fields(declared)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name not in values
    ]
    if missing:
        raise UserError(f"model.params.{missing[0]}: missing; the model has no default for it")
    return declared(**values)


def _as(hint: Any, value: Any, name: str) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # such as float | None
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"model.params.{name}: expected a list, found {value!r}")
        element = typing.get_args(hint)[0]
        return tuple(_as(element, item, f"{name}[{i}]") for i, item in enumerate(value))
    if typing.get_origin(hint) is Annotated:
        hint, bounds = typing.get_args(hint)
        number = _as(hint, value, name)
        if not bounds.hold(number):
            raise UserError(f"model.params.{name}: expected {bounds.text}, found {value!r}")
        return number
    # An int is accepted as a float; a bool, although a subclass of int, as neither.
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"model.params.{name}: expected {hint.__name__}, found {value!r}")
    return hint(value)
