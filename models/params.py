"""Checks `model.params` against the dataclass in which a `model_fn` declares them.

`Count`, `Positive`, `NotNegative` and `Share` are types of numbers with bounds, for its fields.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

T = TypeVar("T")

CONTEXT = "context"
"""The one key of an Estimator's `params` that is not a parameter of the user's."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Which numbers a field may be, beside its type in an `Annotated`.

    Attributes:
        text: what they are, for the message.
        hold: whether a number is one of them.
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
    """Makes the dataclass from the parameters of the configuration.

    Args:
        declared: a dataclass of numbers, text, booleans, tuples of them, and what may be None.
        params: values by name; `context` is passed over.

    Raises:
        ValueError: a name that is not declared, or a value of another type or out of its bounds.
    """
    hints = typing.get_type_hints(declared, include_extras=True)
    values = {}
    for name, value in params.items():
        if name == CONTEXT:
            continue
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ValueError(
                f"model.params.{name}: unknown parameter; {hint}(allowed: {', '.join(hints)})"
            )
        values[name] = _as(hints[name], value, name)
    missing = [
        field.name
        for field in dataclasses.fields(declared)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name not in values
    ]
    if missing:
        raise ValueError(f"model.params.{missing[0]}: missing; the model has no default for it")
    return declared(**values)


def _as(wanted: Any, value: Any, name: str) -> Any:
    if typing.get_origin(wanted) in (types.UnionType, typing.Union):  # such as float | None
        if value is None:
            return None
        wanted = next(kind for kind in typing.get_args(wanted) if kind is not type(None))
    if typing.get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"model.params.{name}: expected a list, found {value!r}")
        element = typing.get_args(wanted)[0]
        return tuple(_as(element, item, f"{name}[{i}]") for i, item in enumerate(value))
    if typing.get_origin(wanted) is Annotated:
        wanted, bounds = typing.get_args(wanted)
        number = _as(wanted, value, name)
        if not bounds.hold(number):
            raise ValueError(f"model.params.{name}: expected {bounds.text}, found {value!r}")
        return number
    # A whole number is a number, a truth value is neither.
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"model.params.{name}: expected {wanted.__name__}, found {value!r}")
    return wanted(value)
