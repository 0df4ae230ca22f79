"""Checks `model.params` against the dataclass in which a `model_fn` declares them."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

CONTEXT = "context"
"""The one key of an Estimator's `params` that is not a parameter of the user's."""


def parse_params(declared: type[T], params: Mapping[str, Any]) -> T:
    """Makes the dataclass from the parameters of the configuration.

    Args:
        declared: a dataclass of numbers, text, booleans, tuples of them, and what may be None.
        params: values by name; `context` is passed over.

    Raises:
        ValueError: a name that is not declared, or a value of another type.
    """
    hints = typing.get_type_hints(declared)
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
    if isinstance(wanted, types.UnionType):  # such as float | None
        if value is None:
            return None
        wanted = next(kind for kind in typing.get_args(wanted) if kind is not type(None))
    if typing.get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"model.params.{name}: expected a list, found {value!r}")
        element = typing.get_args(wanted)[0]
        return tuple(_as(element, item, f"{name}[{i}]") for i, item in enumerate(value))
    # A whole number is a number, a truth value is neither.
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"model.params.{name}: expected {wanted.__name__}, found {value!r}")
    return wanted(value)
