"""The report of the serving check: plain data, which the Evaluator reads as JSON."""

import dataclasses
import json

FILE_NAME = "serving_check.json"
"""Name of the report's file in the artifact."""


@dataclasses.dataclass(frozen=True)
class Report:
    """The report on an export, run in a process that has nothing but TensorFlow.

    Attributes:
        findings: why the export must not be served, as sentences; empty if it may.
        notes: what was not checked, as sentences.
        can_be_scored: whether the export gives predictions, so that metrics can be computed.
    """

    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    can_be_scored: bool = True

    def to_json(self) -> str:
        """Returns the report as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Returns the report that `to_json` wrote."""
        fields = json.loads(text)
        return cls(tuple(fields["findings"]), tuple(fields["notes"]), fields["can_be_scored"])


NOTHING_FOUND = Report()
"""The report on an export that may be served."""
