"""A problem as the Trainer and the Tuner see it: the settings and the transformed examples."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from etils import epath
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.features import features as features_lib
from models.features import inputs, label_statistics, packed_tensors, vocabularies
from models.settings.training_settings import Settings, Train
from models.toolbox import networks
from models.toolbox.context import Context

_EVALUATION_BATCH = 4096

_BATCH_SIZES = ((4_000, 64), (10_000, 128), (100_000, 256))
"""Pairs of a number of examples and the default batch size of tables with fewer examples."""
_LARGE_BATCH = 1024
_FEWEST_EPOCHS = 25
_EVALUATIONS = 7
"""Default number of evaluations; some fall on the ends of 3 learning-rate cycles (1 + 2 + 4)."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Configuration of a training, with the transformed examples it uses.

    Attributes:
        settings: the settings that the pipeline passes on.
        schema: schema of the raw examples.
        transform_graph: directory of Transform's output.
        train_files, eval_files: gzipped TFRecords of transformed examples.
    """

    settings: Settings
    schema: schema_pb2.Schema
    transform_graph: str
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]

    @classmethod
    def of(cls, fn_args) -> "Problem":
        """Builds the problem from the `FnArgs` of TFX's Trainer or Tuner.

        Hyperparameters found by tuning override the configuration's.
        """
        schema_text = epath.Path(fn_args.schema_path).read_text()
        problem = cls(
            Settings.from_json(fn_args.custom_config["problem"]),
            text_format.Parse(schema_text, schema_pb2.Schema()),
            fn_args.transform_output,
            _files(fn_args.train_files),
            _files(fn_args.eval_files),
        )
        hyperparameters = getattr(fn_args, "hyperparameters", None) or {}
        return problem.replaced(hyperparameters.get("values", {}))._completed()

    def replaced(self, values: Mapping[str, Any]) -> "Problem":
        """Returns a copy with new values at dotted keys, see `Settings.replaced`."""
        return dataclasses.replace(self, settings=self.settings.replaced(values))

    def _completed(self) -> "Problem":
        """Fills in the settings of `train` that the configuration leaves open.

        These defaults did well on some twenty tables of all sizes.
        """
        train = self.settings.train
        if train.batch_size and train.evaluate_every and (train.max_steps or train.epochs):
            return self
        rows = inputs.count_rows(self.train_files)
        size = next((size for below, size in _BATCH_SIZES if rows < below), _LARGE_BATCH)
        # A multiple of the number of replicas, which share it equally.
        batch_size = train.batch_size or max(size // train.replicas, 1) * train.replicas
        epochs = train.epochs
        if not epochs and not train.max_steps:
            epochs = _epochs(self.settings.columns.labels[0].task, rows, batch_size)
        train = dataclasses.replace(train, batch_size=batch_size, epochs=epochs)
        every = train.evaluate_every or max(math.ceil(_steps(train, rows) / _EVALUATIONS), 1)
        train = dataclasses.replace(train, evaluate_every=every)
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, train=train))

    @property
    def transform_output(self) -> tft.TFTransformOutput:
        """Transform's output."""
        return tft.TFTransformOutput(self.transform_graph)

    @property
    def features(self) -> tuple[features_lib.Feature, ...]:
        """The features that the schema and the configuration define.

        Raises:
            ValueError: see `features.resolve`.
        """
        return features_lib.resolve(self.schema, self.settings.columns)

    def context(self) -> Context:
        """Returns the context that the model receives.

        Raises:
            ValueError: a label cannot be learned, see `label_statistics.from_transform`.
        """
        output, features = self.transform_output, self.features
        rows = inputs.count_rows(self.train_files)
        labels = tuple(
            label_statistics.from_transform(settings, index, output, self.train_files)
            for index, settings in enumerate(self.settings.columns.labels)
        )
        categorical = [f for f in features if f.kind == features_lib.CATEGORICAL]
        return Context(
            labels=labels,
            layout=packed_tensors.Layout.of(features),
            vocabulary_sizes=tuple(
                size + feature.oov_buckets
                for size, feature in zip(
                    vocabularies.sizes(output, len(categorical)), categorical, strict=True
                )
            ),
            sequence_widths=tuple(
                feature.length or networks.RAGGED_WIDTH
                for feature in features
                if feature.kind == features_lib.SEQUENCE
            ),
            max_steps=_steps(self.settings.train, rows),
            rows=rows,
        )

    def train_input(
        self, rows: int, start_step: int = 0, shard: inputs.Shard = inputs.WHOLE
    ) -> Callable[[], tf.data.Dataset]:
        """Returns the input function of training, from `start_step` on; `rows` is the context's.

        Raises:
            ValueError: see `inputs.training_input_fn`.
        """
        train = self.settings.train
        return inputs.training_input_fn(
            self.train_files,
            self.transform_output,
            train.batch_size,
            rows=rows,
            cache_bytes=train.cache_mb << 20,
            seed=train.seed,
            start_step=start_step,
            labels=self.settings.columns.label_names,
            shard=shard,
            replicas=train.replicas,
        )

    def eval_input(self) -> Callable[[], tf.data.Dataset]:
        """Returns the input function of one pass over the eval split."""
        return inputs.evaluation_input_fn(
            self.eval_files,
            self.transform_output,
            _EVALUATION_BATCH,
            self.settings.columns.label_names,
        )

    def serving_input(self) -> Callable[[], Any]:
        """Returns the function that builds the receiver of serving requests."""
        return inputs.serving_input_receiver_fn(self.schema, self.features, self.transform_output)

    def fingerprint(self) -> str:
        """Returns a digest of the configuration, code, schema, vocabularies and examples.

        It covers everything that determines the result. Transform's outputs for the same data give
        the same digest, although their bytes differ in each run: an interrupted training resumes,
        and a finished one is not repeated. How a cluster's tasks are restarted does not matter.
        """
        settings = self.settings
        if tasks := settings.train.tasks:
            of_result = dataclasses.replace(tasks, max_restarts=0, hang_seconds=0)
            settings = settings.with_train(cluster=of_result)
        fields = json.dumps(dataclasses.asdict(settings), sort_keys=True)
        digest = hashlib.sha256(fields.encode())
        digest.update(self.schema.SerializeToString(deterministic=True))
        output = self.transform_output
        assets = epath.Path(output.transform_savedmodel_dir) / "assets"
        for path in sorted(assets.glob("*")):
            digest.update(path.name.encode() + path.read_bytes())
        for files in (self.train_files, self.eval_files):
            for content in inputs.content_of(files, output):
                digest.update(content)
        return digest.hexdigest()[:16]


def trainer_properties(settings: Settings, training_root: str) -> dict[str, str]:
    """Returns the execution properties from which TFX builds the `FnArgs` for `Problem.of`.

    Args:
        settings: the settings of the problem.
        training_root: parent directory of all trainings' checkpoint directories.
    """
    return {
        "train_args": json.dumps({"splits": ["train"]}),
        "eval_args": json.dumps({"splits": ["eval"]}),
        "custom_config": json.dumps(
            {"problem": settings.to_json(), "training_root": training_root}
        ),
    }


def _epochs(task: str, rows: int, batch_size: int) -> int:
    """Returns the default epochs: more for small tables, which need steps; fewer for classes."""

    def of_steps(steps: int) -> int:
        return math.ceil(steps * batch_size / rows)

    most = min(200, of_steps(6_000)) if task == "regression" else of_steps(2_400)
    return max(_FEWEST_EPOCHS, most)


def _steps(train: Train, rows: int) -> int:
    return train.max_steps or max(math.ceil((train.epochs or 1) * rows / train.batch_size), 1)


def _files(patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern)))
