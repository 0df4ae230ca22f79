"""Settings of a training, which the pipeline passes to the Trainer and the Tuner as JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.settings.column_settings import ColumnSettings

MODEL_PARAMS = "model.params."
"""Beginning of the dotted keys of the model's parameters, see `Settings.replaced`."""


@dataclasses.dataclass(frozen=True)
class Model:
    """The model to train.

    Attributes:
        name: a registered name, or the dotted path of a `model_fn`.
        params: the parameters in the configuration, which the model validates.
    """

    name: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Tasks:
    """A training cluster of several processes, one task each.

    Attributes:
        workers: number of tasks that train beside the chief.
        parameter_servers: number of tasks that hold the variables.
        evaluator: whether a separate task evaluates; otherwise the chief does.
        max_restarts: maximum number of restarts of all tasks together.
        hang_seconds: seconds without a training step after which a task counts as hung.
    """

    workers: int = 1
    parameter_servers: int = 1
    evaluator: bool = True
    max_restarts: int = 10
    hang_seconds: int = 300


@dataclasses.dataclass(frozen=True)
class Replicas:
    """Devices of one process that share each batch; see `models.distributed.mirrored`.

    Attributes:
        mirrored: number of replicas, one per device.
    """

    mirrored: int


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Rule that ends a training when the eval loss has not fallen for `patience` steps."""

    patience: int


@dataclasses.dataclass(frozen=True)
class Train:
    """How, and for how long, a model is trained.

    Attributes:
        max_steps, epochs: length of the training, as one of the two; if both are None,
            `Problem.of` chooses it.
        batch_size: examples per step; 0 lets `Problem.of` choose it.
        evaluate_every: steps between checkpoints, which are all evaluated; 0 lets `Problem.of`
            choose it.
        keep_checkpoints: number of checkpoints to keep.
        early_stopping: the rule that ends the training early, if any.
        cache_mb: transformed data up to this size is kept decoded in memory.
        seed: seed of all random draws.
        cluster: the tasks or devices that train together; None for one process on one device.
    """

    max_steps: int | None = None
    epochs: int | None = None
    batch_size: int = 0
    evaluate_every: int = 0
    keep_checkpoints: int = 5
    early_stopping: EarlyStopping | None = None
    cache_mb: int = 256
    seed: int = 42
    cluster: Tasks | Replicas | None = None

    @property
    def tasks(self) -> Tasks | None:
        """The tasks of the cluster; None if one process trains."""
        return self.cluster if isinstance(self.cluster, Tasks) else None

    @property
    def replicas(self) -> int:
        """The number of replicas that share each batch; 1 if the training is not mirrored."""
        return self.cluster.mirrored if isinstance(self.cluster, Replicas) else 1

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "Train":
        """Returns the settings with these JSON values."""
        early_stopping, cluster = fields["early_stopping"], fields["cluster"]
        kind = Replicas if cluster and "mirrored" in cluster else Tasks
        return cls(
            **{
                **fields,
                "early_stopping": early_stopping and EarlyStopping(**early_stopping),
                "cluster": cluster and kind(**cluster),
            }
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a problem that determine the trained model.

    Attributes:
        columns: the labels, the weight and the features.
        model: the model to train.
        train: how long and how it is trained.
        missing: words that mean a missing value, in the table and in serving requests.
        code: fingerprint of the code.
    """

    columns: ColumnSettings
    model: Model
    train: Train
    missing: tuple[str, ...] = ()
    code: str = ""

    def to_json(self) -> str:
        """Returns the settings as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Returns the settings that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            columns=ColumnSettings.of_fields(fields["columns"]),
            model=Model(**fields["model"]),
            train=Train.of_fields(fields["train"]),
            missing=tuple(fields["missing"]),
            code=fields["code"],
        )

    def with_train(self, **values: Any) -> "Settings":
        """Returns a copy with new values for attributes of `train`."""
        return dataclasses.replace(self, train=dataclasses.replace(self.train, **values))

    def replaced(self, values: Mapping[str, Any]) -> "Settings":
        """Returns a copy with new values at dotted keys.

        Args:
            values: by key, such as `train.batch_size` or `model.params.learning_rate`. A new
                `train.max_steps` removes `train.epochs`, and the other way round.

        Raises:
            KeyError: a key leads into parameters that do not exist.
            TypeError: a key is not an attribute of the settings.
        """
        settings = self
        for key, value in values.items():
            settings = _replaced(settings, key.split("."), value)
            if key == "train.max_steps":
                settings = settings.with_train(epochs=None)
            elif key == "train.epochs":
                settings = settings.with_train(max_steps=None)
        return settings

    def value(self, key: str) -> Any:
        """Returns the value at a dotted key, see `replaced`; None if it is not set."""
        value: Any = dataclasses.asdict(self)
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def _replaced(section: Any, path: Sequence[str], value: Any) -> Any:
    """Returns a copy of a dataclass or a mapping with a new value at a path below it."""
    name, *rest = path
    if isinstance(section, Mapping):
        return {**section, name: _replaced(section[name], rest, value) if rest else value}
    new = _replaced(getattr(section, name), rest, value) if rest else value
    return dataclasses.replace(section, **{name: new})
