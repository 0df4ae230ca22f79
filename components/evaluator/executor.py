"""Makes the `EvalConfig`, lets TFX's executor evaluate, judges, and writes verdict and blessing."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import Any, Optional

from absl import logging
from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator import constants, executor
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils, proto_utils

from components import artifact_names, deployments
from components.deployments import Baseline
from components.evaluator import eval_config, extractors, verdict
from components.evaluator.criteria import Criteria
from components.evaluator.verdict import Comparison
from components.example_io import beam_io
from components.serving_check import report as serving_check
from components.serving_check.report import Report
from models.features import features
from models.features.label import Label, labels_of_export

SERVING_CHECK = "serving_check"


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Evaluates `model` beside `baseline_model`, blesses it or not, and writes `verdict.json`.

        Raises:
            ValueError: see `Criteria.with_gates`.
        """
        criteria = Criteria.from_json(exec_properties["criteria"])
        if gates := exec_properties.get("gates"):
            criteria = criteria.with_gates(gates)
        report = _serving_report(input_dict)
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        candidate = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.MODEL_KEY]
        )
        if not report.can_be_scored:
            _write(evaluation, verdict.unscored(report))
            _bless(blessing, False, candidate)
            return
        model = _export([candidate])
        labels = labels_of_export(model)
        baseline = input_dict.get(standard_component_specs.BASELINE_MODEL_KEY)
        comparison = _comparison(
            labels, baseline, _schema(input_dict), exec_properties.get("new_baseline") or ""
        )
        properties = {
            **exec_properties,
            standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(
                eval_config.make(criteria, labels)
            ),
            # TFX's executor looks here for the name of a function that makes the extractors.
            "custom_extractors": f"{extractors.__name__}.{extractors.custom_extractors.__name__}",
        }
        inputs = dict(input_dict)
        if not comparison.is_made:
            inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, None)
        # As the `EvalConfig` has no thresholds, TFX's executor leaves the blessing alone.
        with beam_io.in_batches():
            try:
                super().Do(inputs, output_dict, properties)
            except Exception as error:
                if not comparison.is_made:
                    raise
                logging.exception("Evaluated again without the baseline")
                comparison = dataclasses.replace(
                    comparison, problem=f"cannot be scored: {_first_line(error)}"
                )
                del inputs[standard_component_specs.BASELINE_MODEL_KEY]
                # If the candidate is what failed, this fails too, and says why.
                super().Do(inputs, output_dict, properties)

        result = verdict.make(evaluation, criteria, labels, comparison, report)
        _write(evaluation, result)
        compared = inputs.get(standard_component_specs.BASELINE_MODEL_KEY)
        _bless(blessing, result["blessed"], candidate, *(compared or ()))


def _write(evaluation: str, result: dict[str, Any]) -> None:
    (epath.Path(evaluation) / artifact_names.VERDICT_FILE).write_text(json.dumps(result, indent=2))


def _bless(
    blessing: Artifact, blessed: bool, candidate: Artifact, baseline: Artifact | None = None
) -> None:
    """Blesses the candidate or not, in the form that TFX's Pusher and its resolvers read.

    Args:
        blessing: the artifact to write.
        blessed: the verdict.
        candidate: the model that was judged.
        baseline: the model that was evaluated beside it.
    """
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    blessing.set_string_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri
    )
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    if baseline:
        blessing.set_string_custom_property(
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri
        )
        blessing.set_int_custom_property(
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id
        )


def _serving_report(input_dict) -> Report:
    uri = artifact_utils.get_single_uri(input_dict[SERVING_CHECK])
    return Report.from_json((epath.Path(uri) / serving_check.FILE_NAME).read_text())


def _export(models) -> str:
    model = artifact_utils.get_single_instance(models)
    return path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))


def _schema(input_dict) -> schema_pb2.Schema:
    uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def _first_line(error: Exception) -> str:
    """Returns the error without the traces that Beam and TensorFlow put around it."""
    text = re.sub(r"\s*\[while running '.*?'\]", "", str(error)).strip()
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')[:200]}"


def _comparison(
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
    problem = baseline.damage or _why_not_comparable(candidate, _export(models), schema)
    return Comparison(baseline.version, problem, set_aside)


def _why_not_comparable(
    candidate: Sequence[Label], baseline: str, schema: schema_pb2.Schema
) -> str:
    """Returns why a deployed model cannot be judged beside the candidate; empty if it can.

    The reason is the end of a sentence about the deployed model.
    """
    try:
        labels, inputs = labels_of_export(baseline), features.inputs_of_export(baseline)
    except (KeyError, OSError, TypeError, ValueError):
        return "was exported in an earlier form"
    predicted = {label.name: label for label in labels}
    for label in candidate:
        if label.name not in predicted:
            return f"does not predict {label.name} (it predicts {', '.join(predicted)})"
        before = predicted[label.name]
        if before.task != label.task:
            return f"predicts {label.name} as {before.task}, not {label.task}"
        if before.classes != label.classes:
            return f"has other classes of {label.name}: {_difference(before, label)}"
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


def _why_unreadable(column: Optional[schema_pb2.Feature], read: features.Input) -> str:
    """Returns why a model with the input `read` cannot read the column; empty if it can."""
    if column is None:
        return f"reads the column {read.name}, which is not there any more"
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
