"""The `retryStrategy` of a template: which failures are retried, how often and when."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

_RETRIED_UNLESS = re.compile(r"asInt\(lastRetry\.exitCode\) != (\d+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600}


@dataclasses.dataclass(frozen=True)
class RetryStrategy:
    """The retries of a step.

    Attributes:
        limit: the maximum number of retries.
        final_code: an exit code that is not retried; None if all are.
        first_wait, longest_wait: seconds before the first retry, and at most before any.
        factor: the wait grows by this factor with each further retry.
    """

    limit: int
    final_code: int | None
    first_wait: float
    longest_wait: float
    factor: float

    @classmethod
    def of(cls, template: Mapping[str, Any]) -> "RetryStrategy":
        """Returns the strategy of a template; without one nothing is retried."""
        strategy = template.get("retryStrategy") or {}
        backoff = strategy.get("backoff", {})
        final = _RETRIED_UNLESS.fullmatch(strategy.get("expression", ""))
        retried = strategy.get("retryPolicy", "OnFailure") in ("Always", "OnFailure")
        return cls(
            int(strategy.get("limit", 0)) if retried else 0,
            int(final[1]) if final else None,
            _seconds(str(backoff.get("duration", "0"))),
            _seconds(str(backoff.get("maxDuration", "24h"))),
            float(backoff.get("factor") or 1),
        )

    def wait(self, attempt: int) -> float:
        """Returns the seconds between an attempt, the first of which is 0, and the next one."""
        return min(self.first_wait * self.factor**attempt, self.longest_wait)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    assert match, text
    return float(match[1]) * _SECONDS[match[2]]
