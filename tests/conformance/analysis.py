"""The Evaluator's metrics of several exported models, computed in one run of TFMA."""

import pathlib
from collections.abc import Mapping

import beam_steps
import rich_table
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from rich_table import Transformed

from components.evaluator import eval_config, extractors
from components.evaluator.criteria import Criteria
from models.features.label import labels_of_export

METRICS = {
    "regression": ("rmse", "mae"),
    "binary": ("accuracy", "auc", "log_loss"),
    "multiclass": ("accuracy", "log_loss"),
}


def metrics(
    folder: pathlib.Path, table: Transformed, exports: Mapping[str, str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Returns metrics by model and label on the raw eval rows, as the Evaluator computes them.

    Uses the Evaluator's configuration and extractors, but for more than two models.
    """
    data = folder / "rows.gz"
    with tf.io.TFRecordWriter(str(data), "GZIP") as file:
        for row in table.eval_rows:
            file.write(rich_table.example(row))
    wanted = {label.name: METRICS[label.task] for label in table.columns.labels}
    labels = labels_of_export(next(iter(exports.values())))
    config = eval_config.make(Criteria(wanted, (), ()), labels)
    spec = config.model_specs[0]
    del config.model_specs[:]
    for name in exports:
        spec.name = name
        config.model_specs.append(spec)
    for of_label in config.metrics_specs:
        of_label.model_names[:] = list(exports)
    models = [
        tfma.default_eval_shared_model(export, model_name=name, eval_config=config)
        for name, export in exports.items()
    ]
    with beam_steps.patched():
        tfma.run_model_analysis(
            eval_shared_model=models,
            eval_config=config,
            data_location=str(data),
            output_path=str(folder / "results"),
            extractors=extractors.custom_extractors(models, config, None),
            pipeline_options=PipelineOptions(beam_steps.ARGUMENTS),
            schema=table.schema,
        )
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in exports:
        result = tfma.load_eval_result(str(folder / "results"), model_name=name)
        for label, names in wanted.items():
            values = result.get_metrics_for_slice(output_name=label)
            found.setdefault(name, {})[label] = {key: values[key]["doubleValue"] for key in names}
    return found
