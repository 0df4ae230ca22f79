"""Model functions with one mistake each, such as users of Keras and PyTorch make."""

import numpy as np
import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys, SessionRunHook
from models.toolbox import heads


def _step():
    return tf.compat.v1.train.get_or_create_global_step()


def _minimized(loss):
    return tf.compat.v1.train.AdamOptimizer(0.01).minimize(loss, _step())


def _squares(value, labels):
    return tf.reduce_mean(tf.math.squared_difference(value[:, 0], labels))


def _spec(features, labels, mode, loss=_squares, train=_minimized, predict=None):
    """Returns the spec of a correct model, except for the given part."""
    value = tf.keras.layers.Dense(1, name="value")(features["scaled"])
    predictions = predict(value) if predict else {heads.PREDICTIONS: value}
    if mode == ModeKeys.PREDICT:
        outputs = heads.export_outputs(predictions)
        return EstimatorSpec(mode, predictions=predictions, export_outputs=outputs)
    found = loss(value, labels)
    if mode == ModeKeys.EVAL:
        return EstimatorSpec(mode, loss=found)
    return EstimatorSpec(mode, loss=found, train_op=train(found))


def right(features, labels, mode, params, config):
    return _spec(features, labels, mode)


def no_such_feature(features, labels, mode, params, config):
    return _spec({"scaled": features["skaled"]}, labels, mode)


def python_error(features, labels, mode, params, config):
    raise RuntimeError("the first line\nand the second")


def unequal_shapes(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, _: tf.reduce_mean(value @ tf.ones([3, 2])))


def unequal_in_a_step(features, labels, mode, params, config):
    def loss(value, labels):
        more = tf.ones([tf.shape(labels)[0] + 1])
        return tf.reduce_mean(value) + tf.reduce_mean(labels - more)

    return _spec(features, labels, mode, loss)


def no_such_row(features, labels, mode, params, config):
    def loss(value, labels):
        table = tf.compat.v1.get_variable("table", [2, 4])
        rows = tf.nn.embedding_lookup(table, tf.cast(labels, tf.int64) + 50)
        return tf.reduce_mean(value) + tf.reduce_mean(rows)

    return _spec(features, labels, mode, loss)


def wrong_layer(features, labels, mode, params, config):
    return _spec({"scaled": tf.keras.layers.Conv1D(3, 2)(features["scaled"])[:, 0]}, labels, mode)


def no_train_op(features, labels, mode, params, config):
    return _spec(features, labels, mode, train=lambda loss: None)


def number_as_train_op(features, labels, mode, params, config):
    return _spec(features, labels, mode, train=lambda loss: 3)


def no_loss(features, labels, mode, params, config):
    return EstimatorSpec(mode, train_op=tf.no_op())


def losses_of_rows(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, labels: (value[:, 0] - labels) ** 2)


def loss_of_integers(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, _: tf.cast(tf.reduce_sum(value), tf.int32))


def loss_is_nan(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, _: tf.reduce_mean(tf.math.log(value - 1e9)))


def loss_without_gradient(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda _, labels: tf.reduce_mean(labels))


def loss_of_numpy(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, _: np.mean(value))


def condition_of_python(features, labels, mode, params, config):
    def loss(value, labels):
        found = _squares(value, labels)
        return found if found > 1 else 2 * found

    return _spec(features, labels, mode, loss)


def labels_as_text(features, labels, mode, params, config):
    return _spec(features, tf.strings.as_string(labels), mode)


def labels_as_integers(features, labels, mode, params, config):
    return _spec(features, tf.cast(labels, tf.int32), mode)


def returns_nothing(features, labels, mode, params, config):
    _spec(features, labels, mode)


def returns_a_pair(features, labels, mode, params, config):
    return 1, 2


def exits(features, labels, mode, params, config):
    raise SystemExit(0)


def new_optimizer(features, labels, mode, params, config):
    def train(loss):
        variables = tf.compat.v1.trainable_variables()
        optimizer = tf.keras.optimizers.Adam(0.01)
        done = optimizer.apply_gradients(zip(tf.gradients(loss, variables), variables))
        return tf.group(done, _step().assign_add(1))

    return _spec(features, labels, mode, train=train)


def new_optimizer_minimizes(features, labels, mode, params, config):
    def train(loss):
        variables = tf.compat.v1.trainable_variables()
        return tf.keras.optimizers.Adam(0.01).minimize(loss, variables)

    return _spec(features, labels, mode, train=train)


def step_not_counted(features, labels, mode, params, config):
    train = tf.compat.v1.train.AdamOptimizer(0.01).minimize
    return _spec(features, labels, mode, train=train)


def step_not_counted_by_keras(features, labels, mode, params, config):
    def train(loss):
        optimizer = tf.keras.optimizers.legacy.Adam(0.01)
        return tf.group(*optimizer.get_updates(loss, tf.compat.v1.trainable_variables()))

    return _spec(features, labels, mode, train=train)


def step_counted_in_vain(features, labels, mode, params, config):
    def train(loss):
        _step().assign_add(1)
        return tf.compat.v1.train.AdamOptimizer(0.01).minimize(loss)

    return _spec(features, labels, mode, train=train)


def step_counted_by_nothing(features, labels, mode, params, config):
    """Has a hook that might count steps, so that the mistake only shows during training."""
    spec = _spec(features, labels, mode, train=tf.compat.v1.train.AdamOptimizer(0.01).minimize)
    hooks = [SessionRunHook()]
    return spec._replace(training_hooks=hooks) if mode == ModeKeys.TRAIN else spec


def step_of_four_batches(features, labels, mode, params, config):
    """Has no mistake: it counts one global step for every four batches."""
    spec = _spec(features, labels, mode, train=tf.compat.v1.train.AdamOptimizer(0.01).minimize)
    if mode != ModeKeys.TRAIN:
        return spec
    batches = tf.compat.v1.get_variable("batches", [], tf.int64, tf.zeros_initializer())
    with tf.control_dependencies([spec.train_op]):
        count = batches.assign_add(1)
    counted = tf.cond(
        tf.equal(count % 4, 0), lambda: _step().assign_add(1), lambda: tf.identity(_step())
    )
    return spec._replace(train_op=tf.group(counted))


def hook_fails(features, labels, mode, params, config):
    class Hook(SessionRunHook):
        def after_run(self, run_context, run_values):
            raise RuntimeError("no such file")

    spec = _spec(features, labels, mode)
    return spec._replace(training_hooks=[Hook()]) if mode == ModeKeys.TRAIN else spec


def other_variables(features, labels, mode, params, config):
    extra = tf.compat.v1.get_variable(f"only_{mode}", [])
    return _spec(features, labels, mode, lambda value, _: tf.reduce_mean(value) + extra)


def labels_when_serving(features, labels, mode, params, config):
    return _spec(features, labels - 1.0, mode)


def other_key(features, labels, mode, params, config):
    return _spec(features, labels, mode, predict=lambda value: {"price": value})


def vector_of_predictions(features, labels, mode, params, config):
    return _spec(features, labels, mode, predict=lambda value: {"predictions": value[:, 0]})


def text_predictions(features, labels, mode, params, config):
    texts = tf.strings.as_string
    return _spec(features, labels, mode, predict=lambda value: {"predictions": texts(value)})


def no_outputs(features, labels, mode, params, config):
    return _spec(features, labels, mode)._replace(export_outputs=None)


def averages_stand_still(features, labels, mode, params, config):
    normalise = tf.keras.layers.BatchNormalization(name="normal")
    scaled = normalise(features["scaled"], training=mode == ModeKeys.TRAIN)
    return _spec({"scaled": scaled}, labels, mode)


def summary_of_tensorflow_2(features, labels, mode, params, config):
    tf.summary.scalar("one", 1.0)
    return _spec(features, labels, mode)


def column_minus_vector(features, labels, mode, params, config):
    return _spec(features, labels, mode, lambda value, row: tf.reduce_mean((value - row) ** 2))


class _Called:
    def __call__(self, features, labels, mode, params, config):
        return None


called = _Called()
