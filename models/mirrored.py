"""Replicas: one process trains on several devices, each of which gets a part of every batch.

A replica knows its part of the batch only. What is to be of the whole batch, as its gradient, goes
through here; where there is one replica, which is everywhere but in such a training, nothing
changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from models import estimator_api

_CPU = "CPU"


def replicas(train: Mapping[str, Any]) -> int:
    """How many there are in a training; 1 of one that is not mirrored.

    Args:
        train: the configuration's.
    """
    return (train.get("cluster") or {}).get("mirrored") or 1


def check_batch(batch_size: int, count: int) -> None:
    """Makes sure that replicas can share a batch.

    Raises:
        ValueError: they would get different numbers of rows.
    """
    if batch_size % count:
        raise ValueError(
            f"train.batch_size: found {batch_size}, expected a multiple of train.cluster.mirrored, "
            f"{count}, as {max(batch_size // count, 1) * count}: each replica gets the same part"
        )


def run_config(count: int) -> dict[str, Any]:
    """What a `RunConfig` needs for so many replicas; nothing for one.

    They are on GPUs if the machine has any, and else on CPU devices, which share its cores.

    Raises:
        ValueError: there are GPUs, but fewer than replicas.
    """
    if count == 1:
        return {}
    gpus = len(tf.config.list_physical_devices("GPU"))
    if 0 < gpus < count:
        raise ValueError(
            f"train.cluster.mirrored: found {gpus} GPU{'s' if gpus > 1 else ''} for {count} "
            f"replicas, expected one for each; lower it, or hide the GPUs by CUDA_VISIBLE_DEVICES="
        )
    kind = "GPU" if gpus else _CPU
    session = estimator_api.session_config()
    # A session has one CPU device, however many cores there are, unless it is told otherwise.
    session.device_count[_CPU] = 1 if gpus else count
    return {
        "train_distribute": tf.distribute.MirroredStrategy(
            [f"/{kind}:{number}" for number in range(count)]
        ),
        "session_config": session,
    }


def number() -> int:
    """Which replica's graph is being built, from 0 on."""
    # A constant of the graph, where there is one.
    return int(tf.get_static_value(_context().replica_id_in_sync_group))


def count() -> int:
    """How many replicas there are where a graph is being built."""
    return _context().num_replicas_in_sync


def total(values: Any) -> Any:
    """The sum over the replicas, of a tensor, `tf.IndexedSlices`, or a list of them."""
    return values if count() == 1 else _context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def update(
    variables: Sequence[tf.Variable],
    change: Callable[[tf.Variable, tf.Tensor], tf.Operation],
    value: tf.Tensor,
) -> list[tf.Operation]:
    """Changes variables once, where each replica would do it again.

    Args:
        variables: the replicas'.
        change: makes the op, of a variable and the value.
        value: the same in all replicas.
    """
    if count() == 1:
        return [change(variable, value) for variable in variables]

    def on_each_device(strategy, value):
        return [
            strategy.extended.update(variable, change, args=(value,), group=True)
            for variable in variables
        ]

    return _context().merge_call(on_each_device, args=(value,))


class WholeVariables(estimator_api.SessionRunHook):
    """Keeps the replicas' copies of a variable out of the checkpoints: the variable is in them.

    A `tf.Variable`, as the slots of Keras' legacy optimizers are, puts its copies into the
    collection too, and a checkpoint would have other names than that of one device.
    """

    def begin(self):
        """Is called when the graph is whole, and before what saves it is made."""
        found = tf.compat.v1.get_collection_ref(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES)
        copies = {
            id(copy)
            for variable in found
            if isinstance(variable, tf.distribute.DistributedValues)
            for copy in variable.values
        }
        found[:] = [variable for variable in found if id(variable) not in copies]


def _context() -> tf.distribute.ReplicaContext:
    return tf.distribute.get_replica_context()
