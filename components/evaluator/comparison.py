"""What a candidate is compared with: the deployed model, unless the two cannot be compared."""

import dataclasses
from collections.abc import Sequence

from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import deployments
from components.deployments import Baseline
from models.features import export_inputs, features
from models.features.label import Label, labels_of_export

ACCEPT = (
    'to accept this model by the absolute bounds alone, say why: run --new-baseline "why" (on a '
    'cluster: --param new-baseline="why")'
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The deployed version that a candidate is compared with, or why it is not compared.

    Attributes:
        version: the deployed version; None if no other model is served.
        problem: why it cannot be the baseline, as the end of a sentence; empty if it can.
        set_aside: why a person set the comparison aside; empty if nobody did.
    """

    version: str | None = None
    problem: str = ""
    set_aside: str = ""

    @property
    def is_made(self) -> bool:
        """Whether the deployed model is evaluated beside the candidate."""
        return self.version is not None and not self.problem and not self.set_aside

    @property
    def note(self) -> str:
        """Why there is no comparison, as a sentence; empty if there is one."""
        if self.version is None:
            return "No other model is deployed: only the absolute bounds apply."
        deployed = f"The deployed model (version {self.version})"
        if self.set_aside:
            note = f"{deployed} was set aside, so only the absolute bounds apply; reason: "
            return note + self.set_aside + (f". It {self.problem}." if self.problem else "")
        if self.problem:
            return f"{deployed} cannot be used as the baseline: it {self.problem}"
        return ""


def make(
    candidate: Sequence[Label], models, schema: schema_pb2.Schema, set_aside: str
) -> Comparison:
    """Returns what the candidate is compared with, or why it is not compared.

    Args:
        candidate: the candidate's labels.
        models: artifact of the Baseline component.
        schema: schema of the raw examples.
        set_aside: why a person has ruled out a comparison; empty if nobody has.
    """
    if not models:
        return Comparison()
    uri = artifact_utils.get_single_uri(models)
    baseline = Baseline.from_json((epath.Path(uri) / deployments.BASELINE).read_text())
    if baseline.version is None:
        return Comparison()
    export = path_utils.serving_model_dir(uri)
    problem = baseline.damage or why_not_comparable(candidate, export, schema)
    return Comparison(baseline.version, problem, set_aside)


def why_not_comparable(candidate: Sequence[Label], baseline: str, schema: schema_pb2.Schema) -> str:
    """Returns why a deployed model cannot be the candidate's baseline; empty if it can.

    The reason is the end of a sentence about the deployed model.

    Args:
        candidate: the candidate's labels.
        baseline: directory of the deployed export.
        schema: schema of the raw examples.
    """
    try:
        labels, inputs = labels_of_export(baseline), export_inputs.of_export(baseline)
    except (KeyError, OSError, TypeError, ValueError):
        return "was exported in an older format"
    predicted = {label.name: label for label in labels}
    for label in candidate:
        if label.name not in predicted:
            return f"does not predict {label.name} (it predicts {', '.join(predicted)})"
        before = predicted[label.name]
        if before.task != label.task:
            return f"predicts {label.name} as {before.task}, not {label.task}"
        if before.classes != label.classes:
            return f"has other classes for {label.name}: {_difference(before, label)}"
    columns = {column.name: column for column in schema.feature}
    problems = (_why_unreadable(columns.get(read.name), read) for read in inputs)
    return next(filter(None, problems), "")


def _difference(before: Label, now: Label) -> str:
    new = [name for name in now.classes if name not in before.classes]
    gone = [name for name in before.classes if name not in now.classes]
    parts = [
        f"{what} {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in (("it does not know", new), ("it also knows", gone))
        if names
    ]
    return "; ".join(parts) or "they are in another order"


def _why_unreadable(column: schema_pb2.Feature | None, read: export_inputs.Input) -> str:
    """Returns why a model with the input `read` cannot read the column; empty if it can."""
    if column is None:
        return f"reads the column {read.name}, which no longer exists"
    dtype = features.DTYPES.get(column.type)
    if dtype != read.dtype:
        return f"reads {read.dtype} in the column {read.name}, which has {dtype} now"
    lengths = [dim.size for dim in column.shape.dim]
    if read.optional:
        # Parsed as a list of any length; an input that is not a sequence has room for one value.
        if not read.sequence and features.holds_lists(column):
            return f"reads single values in the column {read.name}, which has lists now"
    elif not column.HasField("shape"):
        return f"needs a value of the column {read.name} in every row, which may be missing now"
    elif lengths not in ([[read.length]] if read.sequence else [[], [1]]):
        expected = f"lists of {read.length} values" if read.sequence else "single values"
        now = f"lists of {lengths[0]}" if lengths not in ([], [1]) else "single values"
        return f"reads {expected} in the column {read.name}, which has {now} now"
    return ""
