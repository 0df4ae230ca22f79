"""What the serving check says of an export; plain data, which the Evaluator reads as JSON."""

import dataclasses
import json

FILE_NAME = "serving_check.json"
"""Its name in the artifact."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What an export does in a process that has nothing but TensorFlow.

    Attributes:
        findings: why it must not be served, as sentences; none if it may.
        notes: what was not checked, as sentences.
        can_be_scored: whether it answers at all, so that its metrics can be computed.
    """

    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    can_be_scored: bool = True

    def to_json(self) -> str:
        """The report as text, read back by `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report that `to_json` wrote."""
        fields = json.loads(text)
        return cls(tuple(fields["findings"]), tuple(fields["notes"]), fields["can_be_scored"])


NOTHING_FOUND = Report()
"""Of an export that may be served."""
