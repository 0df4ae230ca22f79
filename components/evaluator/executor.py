"""Makes the `EvalConfig`, lets TFX's executor evaluate and bless, and writes the verdict."""

import json
import pathlib

from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils, proto_utils

from components.evaluator import eval_config, extractors, verdict
from components.evaluator.judgement import Judgement
from models.label import Label


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Evaluates `model` beside `baseline_model`, blesses or not, writes `verdict.json`."""
        judgement = Judgement.from_json(exec_properties["judgement"])
        label = _label_of(input_dict[standard_component_specs.MODEL_KEY])
        baseline = input_dict.get(standard_component_specs.BASELINE_MODEL_KEY)
        comparable = bool(baseline) and _comparable(label, _label_of(baseline))
        inputs = dict(input_dict)
        if baseline and not comparable:
            del inputs[standard_component_specs.BASELINE_MODEL_KEY]
        config = eval_config.make(judgement, label)
        properties = {
            **exec_properties,
            standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(config),
            # TFX's executor looks here for the name of a function that makes the extractors.
            "custom_extractors": f"{extractors.__name__}.{extractors.custom_extractors.__name__}",
        }
        super().Do(inputs, output_dict, properties)

        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        result = verdict.make(evaluation, judgement, comparable)
        if baseline and not comparable:
            result["notes"].append(
                "The last blessed model predicts another label or other classes: no comparison, "
                "only the absolute bounds apply."
            )
        (pathlib.Path(evaluation) / verdict.FILE_NAME).write_text(json.dumps(result, indent=2))


def _label_of(models) -> Label:
    model = artifact_utils.get_single_instance(models)
    return Label.of_export(
        path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    )


def _comparable(candidate: Label, baseline: Label) -> bool:
    """Metrics of two models compare if both predict the same thing."""
    fields = ("name", "task", "classes")
    return all(getattr(candidate, field) == getattr(baseline, field) for field in fields)
