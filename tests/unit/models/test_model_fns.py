"""What every registered model must do, whatever it is made of."""

import numpy as np
import pytest
import tensorflow as tf
from test_training import fn_args, score

from models import estimator_api, heads, inputs, preprocessing, registry, training
from models import label as label_lib
from models.context import Context
from models.estimator_api import ModeKeys
from models.preprocessing import Layout

TASKS = ["regression", "binary", "multiclass"]
STEPS = 200


@pytest.fixture(params=TASKS)
def table(request):
    name = {"regression": "rich"}.get(request.param, request.param)
    return request.getfixturevalue(name)


@pytest.fixture(params=list(registry.MODELS))
def model(request) -> str:
    return request.param


def context(table, max_steps: int = STEPS) -> Context:
    return Context(
        label=label_lib.from_transform(
            table.label, table.task, None, table.output, table.train_files
        ),
        layout=Layout.of(table.features),
        vocabulary_sizes=tuple(
            training._vocabulary_size(table.output, feature)
            for feature in table.features
            if feature.kind == "categorical"
        ),
        max_steps=max_steps,
    )


def estimator(table, model: str, directory, seed: int = 1, max_steps: int = STEPS):
    return estimator_api.Estimator(
        registry.load(model),
        str(directory),
        params={"context": context(table, max_steps)},
        config=estimator_api.RunConfig(tf_random_seed=seed, save_checkpoints_steps=1000),
    )


def train_input(table):
    return inputs.input_fn(
        table.train_files, table.output, 64, training=True, cache_bytes=1 << 30, seed=1
    )


def eval_input(table, files):
    return inputs.input_fn(files, table.output, 1000, training=False, cache_bytes=0)


def test_training_lowers_the_loss_and_the_export_predicts_the_same(table, model, tmp_path):
    trained = estimator(table, model, tmp_path / "model")
    trained.train(train_input(table), max_steps=1)
    before = trained.evaluate(eval_input(table, table.train_files))
    trained.train(train_input(table), max_steps=STEPS)
    after = trained.evaluate(eval_input(table, table.train_files))
    assert after["global_step"] == STEPS, "it continued where it was"
    assert after["loss"] < 0.7 * before["loss"]
    unseen = trained.evaluate(eval_input(table, table.eval_files))
    statistics = {"regression": "rmse", "binary": "accuracy", "multiclass": "accuracy"}
    assert np.isfinite(unseen[statistics[table.task]])

    export = trained.export_saved_model(
        str(tmp_path / "export"),
        inputs.serving_input_receiver_fn(table.schema, table.features, table.output),
    ).decode()
    # Beam may have put the transformed rows into another order, so the sorted outputs compare.
    rows = [{k: v for k, v in row.items() if k != table.label} for row in table.eval_rows]
    answers = score(export, rows)
    predictions = list(trained.predict(eval_input(table, table.eval_files)))
    name = {"regression": heads.PREDICTIONS}.get(table.task, heads.PROBABILITIES)
    expected = np.array([prediction[name] for prediction in predictions])
    np.testing.assert_allclose(
        np.sort(answers[name], axis=0), np.sort(expected, axis=0), rtol=1e-4, atol=1e-5
    )
    assert set(answers) == set(predictions[0])


def test_one_seed_gives_one_result(rich, model, tmp_path):
    results = []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained = estimator(rich, model, tmp_path / run, seed, max_steps=30)
        trained.train(train_input(rich), max_steps=30)
        results.append(trained.evaluate(eval_input(rich, rich.eval_files)))
    assert results[0] == results[1]
    assert results[0]["loss"] != results[2]["loss"]


@pytest.mark.parametrize("mode", [ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT])
def test_the_modes(multiclass, model, mode):
    """Dropout, and all else that is random, in training only; signatures when predicting."""
    rows = list(range(32))
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        features, labels = tf.data.experimental.get_single_element(
            eval_input(multiclass, multiclass.train_files)()
        )
        features = {name: tensor[: len(rows)] for name, tensor in features.items()}
        spec = registry.load(model)(
            features,
            None if mode == ModeKeys.PREDICT else labels[: len(rows)],
            mode,
            {"context": context(multiclass)},
            estimator_api.RunConfig(tf_random_seed=1),
        )
        session.run([tf.compat.v1.global_variables_initializer()])
        session.run([tf.compat.v1.tables_initializer()])
        if mode == ModeKeys.PREDICT:
            assert set(spec.export_outputs) == {"predict", "serving_default"}
            assert spec.train_op is None
            value = spec.predictions[heads.PROBABILITIES]
            np.testing.assert_allclose(session.run(value).sum(axis=1), 1.0, rtol=1e-5)
        else:
            value = spec.loss
        values = [session.run(value) for _ in range(3)]
        random = any(not np.array_equal(values[0], other) for other in values)
        assert random == (mode == ModeKeys.TRAIN)
        assert (spec.train_op is not None) == (mode == ModeKeys.TRAIN)
        assert bool(spec.eval_metric_ops) == (mode == ModeKeys.EVAL)
        assert graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)


def test_an_index_beyond_the_vocabulary_is_served(multiclass, model, tmp_path):
    """A request may hold a category that only a later Transform knows."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        width = len(Layout.of(multiclass.features).numeric)
        features = {
            preprocessing.SCALED: tf.zeros([1, width]),
            preprocessing.QUANTILE: tf.fill([1, width], 0.5),
            preprocessing.CATEGORICAL: tf.constant([[10**6]], tf.int64),
        }
        spec = registry.load(model)(
            features, None, ModeKeys.PREDICT, {"context": context(multiclass)},
            estimator_api.RunConfig(tf_random_seed=1),
        )  # fmt: skip
        session.run([tf.compat.v1.global_variables_initializer()])
        session.run([tf.compat.v1.tables_initializer()])
        assert np.isfinite(session.run(spec.predictions[heads.PROBABILITIES])).all()


def test_a_run_of_it_beats_the_constant(binary, model, tmp_path):
    arguments = fn_args(binary, tmp_path, (model, {}), max_steps=100, evaluate_every=50)
    training.run_fn(arguments)
    rows = [{k: v for k, v in row.items() if k != "outcome"} for row in binary.eval_rows]
    answers = score(arguments.serving_model_dir, rows)
    outcomes = np.array([row["outcome"].encode() for row in binary.eval_rows])
    assert np.mean(answers[heads.CLASSES][:, 0] == outcomes) > np.mean(outcomes == b"no") + 0.02
