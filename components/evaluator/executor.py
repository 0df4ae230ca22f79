"""Makes the `EvalConfig`, lets TFX's executor evaluate, judges, and writes verdict and blessing."""

import dataclasses
import json
import os
import re
from typing import Any

from absl import logging
from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.evaluator import constants, executor
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils, proto_utils

from components import artifact_names
from components.evaluator import comparison as comparisons
from components.evaluator import eval_config, extractors, verdict
from components.evaluator.criteria import Criteria
from components.example_io import beam_io
from components.serving_check import report as serving_check
from components.serving_check.report import Report
from models.features.label import labels_of_export

SERVING_CHECK = "serving_check"


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Evaluates `model` beside `baseline_model`, blesses it or not, and writes `verdict.json`.

        Raises:
            UserError: see `Criteria.with_gates`.
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
        labels = labels_of_export(path_utils.serving_model_dir(candidate.uri))
        baseline = input_dict.get(standard_component_specs.BASELINE_MODEL_KEY)
        comparison = comparisons.make(
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
            except Exception as error:  # Beam and TensorFlow raise many kinds for a bad baseline
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


def _schema(input_dict) -> schema_pb2.Schema:
    uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def _first_line(error: Exception) -> str:
    """Returns the error without the traces that Beam and TensorFlow put around it."""
    text = re.sub(r"\s*\[while running '.*?'\]", "", str(error)).strip()
    return f"{type(error).__name__}: {next(iter(text.splitlines()), '')[:200]}"
