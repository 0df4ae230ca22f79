"""Types of values that Kubernetes restricts: names, labels, images and amounts."""

import re
from typing import Any

LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Pattern(str):
    """Text that matches a pattern; numbers are converted to text first."""

    pattern: re.Pattern[str]
    expected: str

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str:
        """Returns the value as text; raises `ValueError` if it does not match."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"expected {cls.expected}")
        if not cls.pattern.fullmatch(str(value)):
            raise ValueError(f"expected {cls.expected}")
        return str(value)


class Image(_Pattern):
    """A container image with a tag or digest, which says what runs."""

    pattern = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]*(:[\w][\w.-]*|@sha256:[0-9a-f]{64})")
    expected = "an image with its tag or digest, such as registry.example.com/houses:1.0"


class Memory(_Pattern):
    """An amount of memory; Kubeflow's compiler accepts no fractions."""

    pattern = re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti)")
    expected = "a whole amount with its unit, such as 512Mi or 8Gi"


class Cpu(_Pattern):
    """A number of cores or of thousandths of a core."""

    pattern = re.compile(r"[1-9]\d*m?|\d+\.\d+")
    expected = "cores or thousandths of one, such as 2, 0.5 or 500m"


class ObjectName(_Pattern):
    """The name of a Kubernetes object."""

    pattern = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
    expected = "the name of a Kubernetes object: lower-case letters, digits, - and ."


class Label(_Pattern):
    """The value of a label."""

    pattern = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
    expected = "at most 63 letters, digits, - _ and ."
