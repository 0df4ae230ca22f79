"""Replicas: one process trains on several devices, each of which receives a part of every batch.

A replica sees only its part of the batch. Whatever concerns the whole batch, such as the gradients,
goes through this module. With a single replica, as in any other training, its functions change
nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.errors import UserError

_CPU = "CPU"


def run_config(count: int) -> dict[str, Any]:
    """Returns the arguments of a `RunConfig` for `count` replicas; empty for one.

    Replicas use GPUs if the machine has any, and otherwise CPU devices, which share its cores.

    Raises:
        UserError: there are GPUs, but fewer than replicas.
    """
    if count == 1:
        return {}
    gpus = len(tf.config.list_physical_devices("GPU"))
    if 0 < gpus < count:
        raise UserError(
            f"train.cluster.mirrored: found {gpus} GPU{'s' if gpus > 1 else ''} for {count} "
            "replicas, expected one for each; lower it, or hide the GPUs with CUDA_VISIBLE_DEVICES="
        )
    kind = "GPU" if gpus else _CPU
    session = estimator_api.session_config()
    # By default a session has a single CPU device, however many cores there are.
    session.device_count[_CPU] = 1 if gpus else count
    # The strategy makes variables outside of sessions, where there is one CPU device. TensorFlow
    # puts them there by default, but not in a process that has first built a graph (Transform's).
    tf.config.set_soft_device_placement(True)
    return {
        "train_distribute": tf.distribute.MirroredStrategy(
            [f"/{kind}:{index}" for index in range(count)]
        ),
        "session_config": session,
    }


def replica_id() -> int:
    """Returns the index of the replica whose graph is being built, from 0."""
    # In a graph the id is a constant tensor.
    return int(tf.get_static_value(_context().replica_id_in_sync_group))


def count() -> int:
    """Returns the number of replicas of the graph that is being built."""
    return _context().num_replicas_in_sync


def total(values: Any) -> Any:
    """Sums a tensor, `tf.IndexedSlices`, or a list of them over the replicas."""
    return values if count() == 1 else _context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def update(
    variables: Sequence[tf.Variable],
    change: Callable[[tf.Variable, tf.Tensor], tf.Operation],
    value: tf.Tensor,
) -> list[tf.Operation]:
    """Changes variables once, rather than once per replica.

    Args:
        variables: the mirrored variables.
        change: returns the op that changes a variable, given the variable and the value.
        value: a value that is the same in all replicas.
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
    """Hook that saves each variable once, without the replicas' copies.

    A `tf.Variable`, such as a slot of Keras' legacy optimizers, adds its copies to the collection
    too; the checkpoint's names would then differ from those of a training on one device.
    """

    def begin(self):
        """Removes the copies once the graph is complete, before the saver is built."""
        variables = tf.compat.v1.get_collection_ref(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES)
        copies = {
            id(copy)
            for variable in variables
            if isinstance(variable, tf.distribute.DistributedValues)
            for copy in variable.values
        }
        variables[:] = [variable for variable in variables if id(variable) not in copies]


def _context() -> tf.distribute.ReplicaContext:
    return tf.distribute.get_replica_context()
