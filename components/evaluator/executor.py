"""Makes the `EvalConfig`, lets TFX's executor evaluate and bless, and writes the verdict."""

import json
from collections.abc import Sequence
from typing import Any

from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator import constants, executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils, proto_utils

from components.evaluator import eval_config, extractors, verdict
from components.evaluator.judgement import Judgement
from components.examples import beam_io
from components.serving_check import report as serving_check
from components.serving_check.report import Report
from models import features
from models.label import Label, labels_of_export

SERVING_CHECK = "serving_check"


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Evaluates `model` beside `baseline_model`, blesses or not, writes `verdict.json`.

        Raises:
            ValueError: see `Judgement.with_gates`.
        """
        judgement = Judgement.from_json(exec_properties["judgement"])
        if gates := exec_properties.get("gates"):
            judgement = judgement.with_gates(gates)
        report = _serving_report(input_dict)
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        if not report.can_be_scored:
            _write(evaluation, verdict.unscored(report))
            _do_not_bless(blessing, input_dict[standard_component_specs.MODEL_KEY])
            return
        model = _export(input_dict[standard_component_specs.MODEL_KEY])
        labels = labels_of_export(model)
        inputs = dict(input_dict)
        note = "Nothing else was blessed before: only the absolute bounds apply."
        baseline = inputs.get(standard_component_specs.BASELINE_MODEL_KEY)
        if baseline and not _is_empty(baseline):
            note = _why_not_comparable(labels, _export(baseline), _schema(input_dict))
        if note:
            inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, None)
        properties = {
            **exec_properties,
            standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(
                eval_config.make(judgement, labels)
            ),
            # TFX's executor looks here for the name of a function that makes the extractors.
            "custom_extractors": f"{extractors.__name__}.{extractors.custom_extractors.__name__}",
        }
        with beam_io.in_batches():
            super().Do(inputs, output_dict, properties)

        result = verdict.make(evaluation, judgement, labels, not note, note, report)
        _write(evaluation, result)
        if not result["blessed"]:
            _do_not_bless(blessing, input_dict[standard_component_specs.MODEL_KEY])


def _write(evaluation: str, result: dict[str, Any]) -> None:
    (epath.Path(evaluation) / verdict.FILE_NAME).write_text(json.dumps(result, indent=2))


def _do_not_bless(blessing, models) -> None:
    """Says that the model is not blessed, whatever TFX's executor said.

    That one blesses by the absolute bounds alone; the verdict knows the changes, too.
    """
    folder = epath.Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / constants.BLESSED_FILE_NAME).unlink(missing_ok=True)
    (folder / constants.NOT_BLESSED_FILE_NAME).touch()
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE
    )
    model = artifact_utils.get_single_instance(models)
    blessing.set_string_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri
    )
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)


def _serving_report(input_dict) -> Report:
    uri = artifact_utils.get_single_uri(input_dict[SERVING_CHECK])
    return Report.from_json((epath.Path(uri) / serving_check.FILE_NAME).read_text())


def _export(models) -> str:
    model = artifact_utils.get_single_instance(models)
    return path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))


def _is_empty(models) -> bool:
    """Whether there is an artifact but no model; of no file, an object store keeps no directory."""
    uri = artifact_utils.get_single_uri(models)
    return not fileio.exists(uri) or not fileio.listdir(uri)


def _schema(input_dict) -> schema_pb2.Schema:
    uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def _why_not_comparable(
    candidate: Sequence[Label], baseline: str, schema: schema_pb2.Schema
) -> str:
    """Why a baseline cannot be judged beside the candidate, as a note; empty if it can."""
    beside = "no comparison, only the absolute bounds apply."
    try:
        labels, inputs = labels_of_export(baseline), features.inputs_of_export(baseline)
    except (KeyError, TypeError):
        return f"The last blessed model was exported in an earlier form: {beside}"
    predicted = {(label.name, label.task, label.classes) for label in labels}
    for label in candidate:
        if (label.name, label.task, label.classes) not in predicted:
            what = f"does not predict {label.name}, or has other classes of it"
            return f"The last blessed model {what}: {beside}"
    columns = {column.name: column for column in schema.feature}
    for read in inputs:
        column = columns.get(read.name)
        if column is None or not _can_be_read(column, read):
            return f"The last blessed model needs the column {read.name} as it was: {beside}"
    return ""


def _can_be_read(column: schema_pb2.Feature, read: features.Input) -> bool:
    """Whether a model that reads such a column can read this one."""
    if features.DTYPES.get(column.type) != read.dtype:
        return False
    if read.optional:
        # It is parsed as a list of any length; one that is not a sequence has room for one value.
        return read.sequence or not features.holds_lists(column)
    lengths = [dim.size for dim in column.shape.dim]
    return column.HasField("shape") and lengths in ([[read.length]] if read.sequence else [[], [1]])
