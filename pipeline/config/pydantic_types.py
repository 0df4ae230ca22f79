"""Types of configuration values that explain what is wrong with an invalid value."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic.error_wrappers import ErrorWrapper

Mistakes = list[tuple[tuple[str, ...], str]]
"""Pairs of the location of a key and a message."""


class Section(pydantic.BaseModel):
    """A section of the file: a frozen mapping that refuses unknown keys."""

    class Config:  # noqa: D106 (pydantic's settings)
        extra = "forbid"
        frozen = True

    @classmethod
    def validate(cls, value: Any) -> "Section":
        """Validates a mapping; refuses an empty list, which pydantic would turn into a mapping."""
        if isinstance(value, cls):
            return value
        return super().validate(mapping(value))


def mapping(value: Any) -> Any:
    """Returns a mapping or None as it is; refuses a list of pairs, which pydantic would convert."""
    if value is not None and not isinstance(value, dict):
        raise pydantic.DictError()
    return value


def path_text(value: Any) -> Any:
    """Returns None or text that can be a path; refuses numbers, which pydantic would accept."""
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise pydantic.PathError()
    return value


def refuse(mistakes: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Raises a `ValidationError` that reports every mistake, if there are any."""
    if mistakes:
        raise pydantic.ValidationError(
            [ErrorWrapper(ValueError(message), location) for location, message in mistakes], Section
        )


class Number(float):
    """A finite float; accepts `1e6`, which YAML reads as text, but no boolean."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> float:
        """Converts a value to a float, or raises `ValueError`."""
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
        """Returns a valid value as it is, or raises `ValueError`."""
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
        """Returns a valid value as it is, or raises `ValueError`."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError("expected a whole number, zero or above")
        return value


class Text(pydantic.StrictStr):
    """Non-empty text."""

    min_length = 1


class Address(str):
    """A host and a port."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> "Address":
        """Returns a valid value, or raises `ValueError`."""
        match = re.fullmatch(r"[^\s/:=]+:(\d{1,5})|\[[\da-fA-F:]+\]:(\d{1,5})", str(value))
        if not isinstance(value, str) or not match or not 0 < int(match[1] or match[2]) < 1 << 16:
            raise ValueError("expected a host and a port, such as localhost:8081")
        return cls(value)

    @property
    def host(self) -> str:
        """The host, without the brackets of an IPv6 address."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])


class _Code:
    """A column's value in a configuration: non-empty text or a whole number.

    Refuses booleans, which is what YAML makes of No, Yes, On and Off.
    """

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str | int:
        """Returns a valid value as it is, or raises `ValueError`."""
        if isinstance(value, bool):
            raise ValueError("expected text or a whole number; put Yes, No, On and Off in quotes")
        if not isinstance(value, (str, int)) or value == "":
            raise ValueError("expected text or a whole number")
        return value


class _ClassWeights:
    """`balanced`, or a number above zero for each class."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str | dict[str, float]:
        """Returns `balanced` or the weights as floats, or raises `ValueError`."""
        if value == "balanced":
            return value
        if not isinstance(value, dict) or not value:
            raise ValueError("expected balanced, or a number for each class, such as {'yes': 5}")
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


if TYPE_CHECKING:  # what validation returns
    Code = str | int
    ClassWeights = str | Mapping[str, float]
else:
    Code = _Code
    ClassWeights = _ClassWeights
