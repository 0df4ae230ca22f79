"""The `model` and `train` sections of a configuration."""

from typing import Any

import pydantic

from pipeline.config.cluster_config import Cluster
from pipeline.config.pydantic_types import Count, Natural, Section, Text, mapping, refuse


class Model(Section):
    """The `model` section: which model is trained, and with which parameters.

    Attributes:
        name: a registered name, or the dotted path of a `model_fn` in an importable module or in a
            file beside the configuration.
        params: the parameters passed to the `model_fn`, which validates them.
    """

    name: Text = "tabm"
    params: dict[pydantic.StrictStr, Any] = {}

    _mapping = pydantic.validator("params", pre=True, allow_reuse=True)(mapping)


class EarlyStopping(Section):
    """The rule that stops training when the eval loss has not fallen for `patience` steps."""

    patience: Count


class Train(Section):
    """The `train` section: how long and how the model is trained.

    Attributes:
        max_steps, epochs: the length of training, as one of the two; by default chosen by the
            number of examples.
        batch_size: examples per step; by default chosen likewise.
        evaluate_every: steps between checkpoints; each is evaluated on the eval split, and the one
            with the lowest loss is exported. By default a seventh of the training.
        keep_checkpoints: how many checkpoints are kept.
        cache_mb: transformed data up to this size is kept decoded in memory, and takes twice that
            while it is read.
        cluster: the tasks or devices that train together; by default one process on one device.
    """

    max_steps: Count | None = None
    epochs: Count | None = None
    batch_size: Count | None = None
    evaluate_every: Count | None = None
    keep_checkpoints: Count = 5
    early_stopping: EarlyStopping | None = None
    cache_mb: Natural = 256
    seed: Natural = 42
    cluster: Cluster | None = None

    @pydantic.root_validator(skip_on_failure=True)
    def _one_length(cls, values):
        if values["max_steps"] and values["epochs"]:
            raise ValueError("expected max_steps or epochs, found both: remove one")
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_replicas(cls, values):
        size, cluster = values["batch_size"], values["cluster"]
        if not cluster or not cluster.mirrored:
            return values
        if values["early_stopping"]:
            # TensorFlow's early-stopping hook fetches a per-replica value, which cannot be fetched.
            message = (
                "not supported with cluster.mirrored, which trains to the end; remove one of them"
            )
            refuse([(("early_stopping",), message)])
        if size and (message := cluster.unequal_parts(size)):
            refuse([(("batch_size",), message)])
        return values
