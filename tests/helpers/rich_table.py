"""Small tables with every kind of column, transformed as by TFX's Transform."""

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import beam_steps
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tf_example_record

from models.features import features as features_lib
from models.features import inputs as inputs_lib
from models.features import preprocessing
from models.features.features import Feature
from models.settings.column_settings import ColumnSettings
from tests.helpers.column_builder import column_settings

_REQUIRED = "presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }"
RICH_SCHEMA = f"""
feature {{ name: "id" type: BYTES {_REQUIRED} }}
feature {{ name: "area" type: FLOAT {_REQUIRED} }}
feature {{ name: "rooms" type: INT {_REQUIRED} }}
feature {{ name: "flat" type: FLOAT {_REQUIRED} }}
feature {{ name: "income" type: FLOAT }}
feature {{ name: "age" type: INT }}
feature {{ name: "city" type: BYTES }}
feature {{ name: "zone" type: INT {_REQUIRED} }}
feature {{ name: "serial" type: BYTES {_REQUIRED} }}
feature {{ name: "garden" type: INT {_REQUIRED} int_domain {{ min: 0 max: 1 }} }}
feature {{ name: "sold" type: BYTES bool_domain {{}} }}
feature {{ name: "day" type: BYTES }}
feature {{ name: "price" type: FLOAT {_REQUIRED} }}
"""
RICH_OVERRIDES: dict[str, dict[str, Any]] = {
    "id": {"kind": "ignore"},
    "zone": {"kind": "categorical", "min_count": 1, "vocabulary": 4},
    "city": {"oov_buckets": 3},
    "day": {"kind": "date"},
}
TRUE_TEXTS = ("True", "true", "yes", "Y", "1", "t")
FALSE_TEXTS = ("False", "no", "0", "n")


def rich_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows of the rich table; missing values are None."""
    rng = np.random.default_rng(seed)
    first = datetime.date(2004, 1, 1)
    rows = []
    for number in range(count):
        area = float(np.float32(rng.lognormal(4, 0.5)))
        rooms = int(rng.choice([1, 2, 3, 4, 9], p=[0.1, 0.6, 0.15, 0.1, 0.05]))
        date = first + datetime.timedelta(days=int(rng.integers(0, 3650)))
        forms = ("%Y-%m-%d", "%Y%m%dT000000", "%Y/%m/%d")
        rows.append(
            {
                "id": f"row-{number}",
                "area": area * (1000.0 if number == 7 else 1.0),
                "rooms": rooms,
                "flat": 7.25,
                "income": [None, float("nan"), *[float(np.float32(rng.normal(50, 20)))] * 6][
                    rng.integers(0, 8)
                ],
                "age": None if rng.random() < 0.2 else int(rng.integers(-5, 90)),
                "city": [None, "Zürich", "Zürich", "Oslo", "New York", f"rare-{number}"][
                    rng.integers(0, 6)
                ],
                "zone": int(rng.integers(98001, 98008)),
                "serial": f"once-{number}",
                "garden": int(rng.integers(0, 2)),
                "sold": [None, *TRUE_TEXTS, *FALSE_TEXTS][rng.integers(0, 11)],
                "day": [None, "soon", *[date.strftime(forms[number % 3])] * 8][rng.integers(0, 10)],
                "price": float(np.float32(area * 1000 + rooms * 30000 + rng.lognormal(10, 1))),
            }
        )
    return rows


def example(row: Mapping[str, Any]) -> bytes:
    """Returns a row as a serialized `tf.Example`, without the values that are None."""
    features = {}
    for name, value in row.items():
        values = value if isinstance(value, list) else [value]
        if not values or isinstance(values[0], float):
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        elif isinstance(values[0], str):
            texts = [text.encode() for text in values]
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
        elif isinstance(values[0], int):
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            continue
        features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A transformed table: the transform graph, and files of transformed examples."""

    graph: str
    train_files: list[str]
    eval_files: list[str]
    schema: schema_pb2.Schema
    schema_path: str
    features: tuple[Feature, ...]
    label: str
    task: str
    columns: ColumnSettings
    train_rows: list[dict[str, Any]]
    eval_rows: list[dict[str, Any]]

    @property
    def output(self) -> tft.TFTransformOutput:
        return tft.TFTransformOutput(self.graph)


def transform(
    folder: pathlib.Path,
    schema_text: str,
    overrides: dict[str, dict[str, Any]],
    label: str,
    task: str,
    train_rows: Sequence[dict[str, Any]],
    eval_rows: Sequence[dict[str, Any]],
    more_labels: Mapping[str, str] | None = None,
    **more: Any,
) -> Transformed:
    """Analyzes the train rows and transforms both splits, as TFX's Transform does.

    `overrides` are attributes of `FeatureSettings` by column, `more_labels` are tasks by column,
    and `more` are further `ColumnSettings`.
    """
    settings = column_settings({label: task, **(more_labels or {})}, overrides, **more)
    schema = text_format.Parse(schema_text, schema_pb2.Schema())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    config = {"schema": schema_text, "columns": settings.for_transform().to_json()}
    tfxio = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem", telemetry_descriptors=["test"], schema=schema
    )

    def preprocess(inputs):
        return preprocessing.preprocessing_fn(inputs, config)

    with (
        beam_steps.patched(),
        beam.Pipeline(argv=beam_steps.ARGUMENTS) as pipeline,
        tft_beam.Context(str(folder / "temporary"), force_tf_compat_v1=True),
    ):
        raw = {
            split: pipeline
            | f"Create {split}" >> beam.Create([example(row) for row in rows])
            | f"Read {split}" >> tfxio.BeamSource()
            for split, rows in (("train", train_rows), ("eval", eval_rows))
        }
        raw_config = tfxio.TensorAdapterConfig()
        (train, metadata), transform_fn = (
            raw["train"],
            raw_config,
        ) | tft_beam.AnalyzeAndTransformDataset(preprocess, output_record_batches=True)
        evals, _ = (
            (raw["eval"], raw_config),
            transform_fn,
        ) | tft_beam.TransformDataset(output_record_batches=True)
        transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
        for split, batches in (("train", train), ("eval", evals)):
            (
                batches
                | f"Encode {split}" >> beam.FlatMap(_encode, metadata.schema)
                | f"Write {split}"
                >> beam.io.WriteToTFRecord(
                    str(folder / split), file_name_suffix=".gz", num_shards=1
                )
            )
    return Transformed(
        graph=str(folder / "graph"),
        train_files=sorted(map(str, folder.glob("train-*.gz"))),
        eval_files=sorted(map(str, folder.glob("eval-*.gz"))),
        schema=schema,
        schema_path=str(folder / "schema.pbtxt"),
        features=features_lib.resolve(schema, settings),
        label=label,
        task=task,
        columns=settings,
        train_rows=list(train_rows),
        eval_rows=list(eval_rows),
    )


def _encode(element, schema):
    batch, _ = element
    return example_coder.RecordBatchToExamplesEncoder(schema).encode(batch)


def transform_rich(folder: pathlib.Path) -> Transformed:
    """Transforms the rich table, with a regression label."""
    return transform(
        folder,
        RICH_SCHEMA,
        RICH_OVERRIDES,
        "price",
        "regression",
        rich_rows(640, seed=1),
        rich_rows(200, seed=2),
    )


FULL_SCHEMA = f"""
feature {{ name: "Lot Area" type: FLOAT {_REQUIRED} }}
feature {{ name: "quality" type: BYTES }}
feature {{ name: "stars" type: INT {_REQUIRED} }}
feature {{ name: "built" type: INT }}
feature {{ name: "sold" type: BYTES {_REQUIRED} }}
feature {{ name: "garden" type: INT {_REQUIRED} int_domain {{ min: 0 max: 1 }} }}
feature {{ name: "window" type: FLOAT value_count {{ min: 1 }} }}
feature {{ name: "counts" type: INT {_REQUIRED.replace("1 } }", "3 } }")} }}
feature {{ name: "sure" type: FLOAT {_REQUIRED} }}
feature {{ name: "waterfront" type: BYTES {_REQUIRED} }}
feature {{ name: "grade" type: INT {_REQUIRED} }}
feature {{ name: "price" type: FLOAT {_REQUIRED} }}
"""
QUALITY = ["No", "Po", "Fa", "TA", "Gd"]
FULL_OVERRIDES: dict[str, dict[str, Any]] = {
    "quality": {"kind": "ordinal", "order": QUALITY},
    "stars": {"kind": "ordinal", "order": [3, 1, 2]},
    "sold": {"kind": "date"},
    "built": {"kind": "ignore"},
}
DERIVED = {
    "age": "1 + sold_year - built",
    "sold_year": "sold / 365.2425",
    "per star": "'Lot Area' / (stars * garden)",
    "best": "max(quality, 2, -1) + log1p(abs('Lot Area')) ** 2",
}


def full_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows of a table with ordinal columns, lists, a weight and three labels."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        area = float(np.float32(rng.lognormal(4, 0.5)))
        size = int(rng.integers(0, 5))
        window = [float(np.float32(value)) for value in rng.normal(5, 3, size)]
        stars = int(rng.choice([1, 2, 3, 7]))
        rows.append(
            {
                "Lot Area": area,
                "quality": [None, "Ex", *QUALITY][rng.integers(0, 7)],
                "stars": stars,
                "built": None if rng.random() < 0.2 else int(rng.integers(1900, 2015)),
                "sold": f"20{int(rng.integers(10, 20))}-06-15",
                "garden": int(rng.integers(0, 2)),
                "window": window if rng.random() < 0.9 else None,
                "counts": [int(value) for value in rng.integers(0, 50, 3)],
                "sure": float(np.float32(rng.uniform(0, 2))),
                "waterfront": str(rng.choice(["no", "yes"], p=[0.8, 0.2])),
                "grade": stars + int(rng.integers(0, 4)),
                "price": float(np.float32(area * 1000 + sum(window) + rng.normal())),
            }
        )
    return rows


def full_table(folder: pathlib.Path) -> Transformed:
    """Transforms the full table, with every setting for features that a configuration has."""
    return transform(
        folder,
        FULL_SCHEMA,
        FULL_OVERRIDES,
        "price",
        "regression",
        full_rows(300, seed=5),
        full_rows(100, seed=6),
        more_labels={"waterfront": "binary", "grade": "regression"},
        derived=DERIVED,
        weight="sure",
    )


def read(files: Sequence[str], spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns all transformed examples as arrays."""
    records = list(tf.data.TFRecordDataset(list(files), "GZIP").as_numpy_iterator())
    return {name: value.numpy() for name, value in tf.io.parse_example(records, spec).items()}


class Server:
    """A transformation of raw rows as in an exported model: through the serving receiver."""

    def __init__(self, table: Transformed):
        with tf.Graph().as_default() as graph:
            receiver = inputs_lib.serving_input_receiver_fn(
                table.schema, table.features, table.output
            )()
            self._examples = receiver.receiver_tensors[inputs_lib.EXAMPLES]
            self._outputs = receiver.features
            self._session = tf.compat.v1.Session(graph=graph)
            self._session.run(tf.compat.v1.tables_initializer())

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        return self._session.run(self._outputs, {self._examples: [example(row) for row in rows]})
