"""Rules for the resources and retries of a pod."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.kubeflow.argo import formats

_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_BYTES = ("memory", "ephemeral-storage")
_EXTENDED = r"([-a-z0-9.]+/[-A-Za-z0-9_.]+|hugepages-\w+)"


def requested(location: str, resources: Mapping[str, Any]) -> Iterator[str]:
    """Yields the problems of a container's `resources`."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    amounts = {}
    for kind, values in (("requests", requests), ("limits", limits)):
        for name, value in values.items():
            inner = f"{location}.{kind}.{name}"
            if name not in _RESOURCES and name != "storage" and not re.fullmatch(_EXTENDED, name):
                yield f"{inner}: unknown resource, expected {', '.join(_RESOURCES)} or one with /"
            amount = formats.amount(value)
            if amount is None or amount < 0:
                yield f"{inner}: found {value!r}, expected an amount such as 500m, 2 or 8Gi"
            else:
                amounts[kind, name] = amount
            if amount is not None and "/" in name and amount != int(amount):
                yield f"{inner}: found {value}, expected a whole number of devices"
            if amount is not None and name in _BYTES and 0 < amount < 2**20:
                yield f"{inner}: found {value}, less than a mebibyte; expected for example 8Gi"
    for name, value in requests.items():
        request, most = amounts.get(("requests", name)), amounts.get(("limits", name))
        if request is not None and most is not None and request > most:
            yield f"{location}.requests.{name}: found {value}, above the limit of {limits[name]}"
        if "/" in name and request != most:
            limit = limits.get(name)
            yield f"{location}.limits.{name}: found {limit}, expected the request, {value}"


def retried(location: str, retries: Mapping[str, Any]) -> Iterator[str]:
    """Yields the problems of a `retryStrategy`."""
    limit = retries.get("limit")
    if limit is not None and not re.fullmatch(r"\d+|\{\{.*\}\}", str(limit)):
        yield f"{location}.limit: found {limit!r}, expected a whole number"
    backoff = retries.get("backoff") or {}
    for key in ("duration", "maxDuration", "cap"):
        if key in backoff:
            yield from formats.wrong(f"{location}.backoff.{key}", backoff[key], formats.DURATION)
    factor = backoff.get("factor")
    if factor is not None and not re.fullmatch(r"[1-9]\d*(\.0+)?|\{\{.*\}\}", str(factor)):
        yield f"{location}.backoff.factor: found {factor!r}, expected a whole number from 1"
