"""Helpers: SavedModels whose predictions are columns of the raw examples, and their evaluation."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import beam_steps
import numpy as np
import tensorflow as tf
from etils import epath
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components import artifact_names, deployments
from components.evaluator import executor
from components.evaluator.criteria import Criteria
from components.serving_check import report
from components.serving_check.report import NOTHING_FOUND, Report
from models.features import label as label_lib
from models.features.export_inputs import Input
from models.features.label import Label
from models.training import export_manifest

_KEYS = {"regression": "predictions", "binary": "logistic", "multiclass": "probabilities"}
_TFX_VERSION = "1.15.1"


def save(
    folder: pathlib.Path,
    number: int,
    labels: Label | Sequence[Label],
    outputs: str | Mapping[str, str],
    reads: Sequence[str] | None = None,
    fill: float | None = None,
    change: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> standard_artifacts.Model:
    """Saves a model whose outputs are columns of the examples; returns its artifact.

    Args:
        folder: the parent of the artifact's directory.
        number: the artifact's id.
        labels: the labels that the export lists.
        outputs: columns by output; a single column is the output of the first label's task.
        reads: the columns that the export lists as its inputs; by default those of `outputs`.
        fill: the default of a missing value.
        change: the function that is applied to each column.
    """
    labels = [labels] if isinstance(labels, Label) else labels
    if isinstance(outputs, str):
        outputs = {_KEYS[labels[0].task]: outputs}
    classes = {f"{label.name}/probabilities": len(label.classes) for label in labels[1:]}
    classes["probabilities"] = len(labels[0].classes)
    spec = {}
    for output, column in outputs.items():
        width = classes.get(output, 1)
        gap = None if fill is None else [fill] * width
        spec[column] = tf.io.FixedLenFeature([width], tf.float32, gap)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def predict(examples):
        parsed = tf.io.parse_example(examples, spec)
        return {output: change(parsed[column]) for output, column in outputs.items()}

    export = folder / f"model-{number}" / "Format-Serving"
    module = tf.Module()
    module.predict = predict
    tf.saved_model.save(module, str(export), {"predict": predict})
    widths = {column: classes.get(output, 1) for output, column in outputs.items()}
    if reads is not None:
        widths = {column: widths[column] for column in reads}
    write_export_facts(export, labels, widths)
    return artifact(standard_artifacts.Model, export.parent, number)


def write_export_facts(
    export: pathlib.Path, labels: Sequence[Label], widths: Mapping[str, int]
) -> None:
    """Writes the files of an export that list its labels and the columns that it reads."""
    inputs = [
        dataclasses.asdict(Input(column, "numbers", True, sequence=width > 1))
        for column, width in widths.items()
    ]
    (export / "assets.extra").mkdir()
    (export / "assets.extra" / "label.json").write_text(label_lib.to_json(labels))
    (export / "assets.extra" / "features.json").write_text(
        json.dumps({"inputs": inputs, "columns": list(widths)})
    )
    export_manifest.write(epath.Path(export))


def deployed(
    model: standard_artifacts.Model, baseline: deployments.Baseline
) -> standard_artifacts.Model:
    """Makes a model artifact an output of the component Baseline."""
    (pathlib.Path(model.uri) / deployments.BASELINE).write_text(baseline.to_json())
    return model


def artifact(kind, folder: pathlib.Path, number: int):
    made = kind()
    made.uri, made.id = str(folder), number
    made.set_string_custom_property("tfx_version", _TFX_VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    return made


def examples(folder: pathlib.Path, rows: Sequence[dict[str, Any]]) -> standard_artifacts.Examples:
    """Writes raw examples with a test split."""
    made = artifact(standard_artifacts.Examples, folder, 900)
    made.split_names = json.dumps(["test"])
    (folder / "Split-test").mkdir()
    with tf.io.TFRecordWriter(str(folder / "Split-test" / "rows.gz"), "GZIP") as file:
        for row in rows:
            file.write(_example(row))
    return made


def _example(row: dict[str, Any]) -> bytes:
    features = {}
    for name, value in row.items():
        values = np.ravel(value).tolist()
        if value is None:
            continue
        if isinstance(values[0], str):
            texts = [text.encode() for text in values]
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
        elif isinstance(values[0], int):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _schema(rows: Sequence[dict[str, Any]]) -> schema_pb2.Schema:
    schema = schema_pb2.Schema()
    for name in rows[0]:
        values = [row[name] for row in rows]
        sample = np.ravel(next(value for value in values if value is not None))
        kinds = {"U": schema_pb2.BYTES, "i": schema_pb2.INT, "f": schema_pb2.FLOAT}
        feature = schema.feature.add(name=name, type=kinds[sample.dtype.kind])
        if None not in values:
            feature.presence.min_fraction = 1
            feature.shape.dim.add(size=len(sample))
    return schema


def write_schema(folder: pathlib.Path, rows: Sequence[dict[str, Any]]) -> standard_artifacts.Schema:
    """Writes a schema that rows fit; returns its artifact."""
    schema = artifact(standard_artifacts.Schema, folder, 901)
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(_schema(rows)))
    return schema


def evaluate(
    folder: pathlib.Path,
    rows: Sequence[dict[str, Any]],
    criteria: Criteria,
    labels: Label | Sequence[Label],
    candidate: str | Mapping[str, str],
    baseline: str | Mapping[str, str] | None = None,
    baseline_labels: Label | Sequence[Label] | None = None,
    more_inputs: Mapping[str, list] | None = None,
    serving: Report = NOTHING_FOUND,
    new_baseline: str = "",
    **candidate_settings: Any,
):
    """Runs the executor with version 17 as baseline; returns the verdict and the blessing."""
    served = artifact(standard_artifacts.InfraBlessing, folder / "serving_check", 904)
    (folder / "serving_check" / report.FILE_NAME).write_text(serving.to_json())
    inputs = {
        "serving_check": [served],
        "examples": [examples(folder / "examples", rows)],
        "model": [save(folder, 1, labels, candidate, **candidate_settings)],
        "schema": [write_schema(folder / "schema", rows)],
    }
    if baseline:
        model = save(folder, 2, baseline_labels or labels, baseline)
        inputs["baseline_model"] = [deployed(model, deployments.Baseline("17"))]
    inputs.update(more_inputs or {})
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation", 902)
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing", 903)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_steps.ARGUMENTS, tmp_dir=str(folder / "temporary"), unique_id="1"
    )
    properties = {
        "criteria": criteria.to_json(),
        "example_splits": json.dumps(["test"]),
        "code": "1",
        "new_baseline": new_baseline,
    }
    with beam_steps.patched():
        executor.Executor(context).Do(
            inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties
        )
    written = (folder / "evaluation" / artifact_names.VERDICT_FILE).read_text()
    return json.loads(written), blessing
