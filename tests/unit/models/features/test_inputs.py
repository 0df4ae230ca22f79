"""Tests of the input functions: each pass has every row once, with its label, in a new order."""

import collections
import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.features import inputs, packed_tensors

BATCH = 64


def batches(table, files, count=None, labels=(), **settings) -> list[tuple[dict, Any]]:
    """Returns batches as arrays, from a separate graph as in an Estimator."""
    batch_size = settings.pop("batch_size", BATCH)
    rows = inputs.count_rows(files)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        if settings.pop("training", True):
            settings = {"cache_bytes": 1 << 30, "seed": 0, **settings}
            make = inputs.training_input_fn(
                files, table.output, batch_size, rows=rows, labels=labels, **settings
            )
        else:
            make = inputs.evaluation_input_fn(files, table.output, batch_size, labels)
        dataset = make()
        following = tf.compat.v1.data.make_one_shot_iterator(dataset).get_next()
        result = []
        for _ in itertools.count() if count is None else range(count):
            try:
                result.append(session.run(following))
            except tf.errors.OutOfRangeError:
                break
        return result


def labels(batches) -> list[float]:
    return [value for _, label in batches for value in label.tolist()]


@pytest.fixture(scope="module")
def halves(rich, tmp_path_factory) -> list[str]:
    """Writes the train rows to two files."""
    folder = tmp_path_factory.mktemp("halves")
    records = list(tf.data.TFRecordDataset(rich.train_files, "GZIP").as_numpy_iterator())
    paths = []
    for number, part in enumerate((records[:250], records[250:])):
        paths.append(str(folder / f"{number}.gz"))
        with tf.io.TFRecordWriter(paths[-1], "GZIP") as file:
            for record in part:
                file.write(record)
    return paths


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
def test_each_pass_sees_every_row_once(rich, cache_bytes):
    rows = len(rich.train_rows)
    assert rows % BATCH == 0
    epoch = rows // BATCH
    found = batches(rich, rich.train_files, 3 * epoch, cache_bytes=cache_bytes)
    expected = sorted(row["price"] for row in rich.train_rows)
    passes = [labels(found[start : start + epoch]) for start in range(0, 3 * epoch, epoch)]
    assert all(sorted(one) == expected for one in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0], "a new order at each pass"


def test_an_incomplete_batch_is_dropped_in_training(rich):
    rows = len(rich.train_rows)
    size = 100
    [*first, second] = batches(rich, rich.train_files, rows // size + 1, batch_size=size)
    assert {len(label) for _, label in [*first, second]} == {size}
    seen = labels(first)
    assert len(set(seen)) == len(seen) == rows // size * size


def test_the_seed_determines_the_order(rich):
    one, again, other = (
        labels(batches(rich, rich.train_files, 15, seed=seed)) for seed in (5, 5, 6)
    )
    assert one == again
    assert one != other
    assert one != [row["price"] for row in rich.train_rows][: len(one)]


@pytest.mark.parametrize("training", [True, False])
def test_features_stay_with_their_label(rich, rich_train, training):
    by_label = {
        label: (rich_train[packed_tensors.SCALED][i], rich_train[packed_tensors.CATEGORICAL][i])
        for i, label in enumerate(rich_train[packed_tensors.LABEL].tolist())
    }
    for features, label in batches(rich, rich.train_files, 12, training=training):
        assert set(features) == {"scaled", "quantile", "indicator", "categorical"}
        for i, value in enumerate(label.tolist()):
            scaled, categorical = by_label[value]
            np.testing.assert_array_equal(features[packed_tensors.SCALED][i], scaled)
            np.testing.assert_array_equal(features[packed_tensors.CATEGORICAL][i], categorical)


def test_data_smaller_than_a_batch_is_one_batch(rich):
    rows = len(rich.train_rows)
    found = batches(rich, rich.train_files, 3, batch_size=rows + 1)
    assert [len(label) for _, label in found] == [rows] * 3
    assert sorted(labels(found[:1])) == sorted(row["price"] for row in rich.train_rows)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
def test_rows_of_several_files_are_mixed(rich, halves, cache_bytes):
    found = batches(rich, halves, len(rich.train_rows) // BATCH, cache_bytes=cache_bytes)
    assert sorted(labels(found)) == sorted(row["price"] for row in rich.train_rows)
    first_file = {row["price"] for row in rich.train_rows[:250]}
    shares = [np.mean([value in first_file for value in label.tolist()]) for _, label in found]
    assert all(0.1 < share < 0.9 for share in shares)


@pytest.mark.parametrize("size", [BATCH, 100, 10_000])
def test_evaluation_sees_every_row_once_and_ends(rich, halves, size):
    found = batches(rich, halves, training=False, batch_size=size)
    counts = collections.Counter(labels(found))
    assert counts == collections.Counter(row["price"] for row in rich.train_rows)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
def test_nothing_is_tuned_so_iterators_close_at_once(rich, cache_bytes):
    files, output = rich.train_files, rich.output
    training = inputs.training_input_fn(
        files, output, BATCH, rows=len(rich.train_rows), cache_bytes=cache_bytes, seed=0
    )
    for make in (training, inputs.evaluation_input_fn(files, output, BATCH)):
        with tf.Graph().as_default():
            assert make().options().autotune.enabled is False


def test_chunks_are_shuffled_and_each_row_still_comes_once(rich, monkeypatch):
    monkeypatch.setattr(inputs, "CHUNK", 128)
    epoch = len(rich.train_rows) // BATCH
    found = batches(rich, rich.train_files, 2 * epoch, cache_bytes=0)
    expected = sorted(row["price"] for row in rich.train_rows)
    passes = [labels(found[:epoch]), labels(found[epoch:])]
    assert [sorted(one) for one in passes] == [expected, expected]
    assert passes[0] != passes[1]


@pytest.fixture(scope="module", params=[0, 1 << 30], ids=["streamed", "cached"])
def undisturbed(rich, request):
    """Returns settings and their batches in chunks that are not a multiple of the batch."""
    settings = {"cache_bytes": request.param, "seed": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "CHUNK", 150)
        return settings, batches(rich, rich.train_files, 32, **settings)


@pytest.mark.parametrize("start", [1, 9, 10, 11, 25])
def test_a_resumed_run_sees_the_batches_it_would_have_seen(rich, undisturbed, monkeypatch, start):
    """Holds across passes."""
    monkeypatch.setattr(inputs, "CHUNK", 150)
    settings, whole = undisturbed
    resumed = batches(rich, rich.train_files, 32 - start, start_step=start, **settings)
    for (features, label), (resumed_features, resumed_label) in zip(whole[start:], resumed):
        np.testing.assert_array_equal(label, resumed_label)
        for name, values in features.items():
            np.testing.assert_array_equal(values, resumed_features[name])


def test_class_labels_are_text(binary):
    [_, label], *_ = batches(binary, binary.train_files, 1)
    assert set(label.tolist()) == {b"no", b"yes"}


def test_rows_are_counted(rich, halves):
    assert inputs.count_rows(rich.train_files) == len(rich.train_rows)
    assert inputs.count_rows(halves) == len(rich.train_rows)
    assert inputs.count_rows(rich.eval_files) == len(rich.eval_rows)


@pytest.mark.parametrize("count", [2, 3, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
def test_workers_share_the_rows_for_any_number_of_files(
    rich, halves, monkeypatch, cache_bytes, count
):
    """In one pass no row is seen twice, and each worker misses less than a batch per chunk."""
    monkeypatch.setattr(inputs, "CHUNK", 150)
    size = 10
    rows = [row["price"] for row in rich.train_rows]
    for files in (rich.train_files, halves):
        seen = []
        for index in range(count):
            shard = inputs.Shard(index, count)
            own = len(range(index, len(rows), count))
            steps = sum(min(150, own - start) // size for start in range(0, own, 150))
            if cache_bytes:
                steps = own // size
            found = batches(
                rich, files, steps, batch_size=size, cache_bytes=cache_bytes, shard=shard
            )
            seen.append(labels(found))
            chunks = 1 if cache_bytes else -(-own // 150)
            assert own - len(seen[-1]) < size * chunks
        together = [label for own in seen for label in own]
        assert len(set(together)) == len(together), "no row twice"
        assert set(together) <= set(rows)


def test_a_worker_sees_the_same_rows_in_every_pass(rich):
    shard = inputs.Shard(1, 2)
    own = len(rich.train_rows) // 2
    found = labels(batches(rich, rich.train_files, 3 * own // 64, batch_size=64, shard=shard))
    passes = [found[start : start + own] for start in range(0, 3 * own, own)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(passes[2])
    assert passes[0] != passes[1]


def test_a_worker_without_rows_is_refused(rich):
    settings: dict[str, Any] = {"rows": 1, "cache_bytes": 0, "seed": 0, "shard": inputs.Shard(0, 2)}
    with pytest.raises(ValueError, match="2 tasks train, .* there are only 1 examples; expected"):
        inputs.training_input_fn(rich.train_files, rich.output, 8, **settings)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
@pytest.mark.parametrize("start_step", [0, 13])
def test_the_parts_of_replicas_add_up_to_whole_batches(rich, cache_bytes, start_step):
    settings = {"cache_bytes": cache_bytes, "start_step": start_step}
    whole = batches(rich, rich.train_files, 5, **settings)
    parts = batches(rich, rich.train_files, 10, replicas=2, **settings)
    assert {len(label) for _, label in parts} == {BATCH // 2}
    assert labels(parts) == labels(whole)


def test_replicas_divide_an_incomplete_batch_equally(rich):
    rows = len(rich.train_rows)
    replicas = 3
    assert rows % replicas
    parts = batches(rich, rich.train_files, 4, batch_size=3 * rows, replicas=replicas)
    assert {len(label) for _, label in parts} == {rows // replicas}
    assert len(set(labels(parts[:replicas]))) == rows // replicas * replicas
    later = batches(rich, rich.train_files, 1, batch_size=3 * rows, replicas=replicas, start_step=1)
    assert labels(later) == labels(parts[3:])


def test_replicas_without_rows_are_refused(rich):
    with pytest.raises(
        ValueError,
        match=r"900 replicas train, but there are only \d+ examples.*train.cluster.mirrored",
    ):
        batches(rich, rich.train_files, 1, batch_size=900, replicas=900)
