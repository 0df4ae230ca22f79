"""The kinds of values that a configuration holds, each with its own words for what is wrong."""

import math
from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic.error_wrappers import ErrorWrapper


class Section(pydantic.BaseModel):
    """A mapping of the file: unknown keys are refused, and nothing changes after loading."""

    class Config:  # noqa: D106 (pydantic's settings)
        extra = "forbid"
        frozen = True

    @classmethod
    def validate(cls, value: Any) -> "Section":
        """Takes a mapping, and no list: pydantic would make an empty mapping of an empty one."""
        if isinstance(value, cls):
            return value
        return super().validate(mapping(value))


def mapping(value: Any) -> Any:
    """Passes on a mapping; pydantic would make one of a list of pairs."""
    if value is not None and not isinstance(value, dict):
        raise pydantic.DictError()
    return value


def path_text(value: Any) -> Any:
    """Passes on text that can be a path; pydantic would take numbers too."""
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise pydantic.PathError()
    return value


def refuse(mistakes: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Reports every mistake under its own key: pairs of a location and a message."""
    if mistakes:
        raise pydantic.ValidationError(
            [ErrorWrapper(ValueError(message), location) for location, message in mistakes], Section
        )


class Number(float):
    """A finite number that is not a boolean; accepts `1e6`, which YAML reads as text."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> float:
        """Makes it a float, or raises `ValueError`."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError("expected a number")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError("expected a number") from None
        if not math.isfinite(number):
            raise ValueError("expected a finite number")
        return number


class Count(int):
    """A whole number above zero."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> int:
        """Takes it, or raises `ValueError`."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError("expected a whole number above zero")
        return value


class Natural(int):
    """A whole number, zero or above."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> int:
        """Takes it, or raises `ValueError`."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError("expected a whole number, zero or above")
        return value


class Text(pydantic.StrictStr):
    """Text that is not empty."""

    min_length = 1


class Code:
    """A value of a column as a configuration writes it: text that is not empty, or a whole number.

    YAML reads No, Yes, On and Off as booleans.
    """

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str | int:
        """Takes it, or raises `ValueError`."""
        if isinstance(value, bool):
            raise ValueError("expected text or a whole number; put Yes, No, On and Off in quotes")
        if not isinstance(value, (str, int)) or value == "":
            raise ValueError("expected text or a whole number")
        return value


class ClassWeights:
    """`balanced`, or a number above zero for each class."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str | dict[str, float]:
        """Takes it, or raises `ValueError`."""
        if value == "balanced":
            return value
        if not isinstance(value, dict) or not value:
            raise ValueError("expected balanced, or a number for each class, as {'yes': 5}")
        weights, mistakes = {}, []
        for name, weight in value.items():
            try:
                weights[name] = Number.validate(weight)
            except ValueError as error:
                mistakes.append(((name,), str(error)))
                continue
            if weights[name] <= 0:
                mistakes.append(((name,), "expected a number above zero"))
        refuse(mistakes)
        return weights
