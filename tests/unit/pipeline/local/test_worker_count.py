import os

import pytest

from pipeline.config import config_file
from pipeline.local import worker_count

MB = 1 << 20
SHARD_MB = 32


@pytest.fixture
def count(tmp_path):
    """Returns a function that gives the number of workers for a table of `table_mb` MB."""

    def call(table_mb: int, *settings: str) -> int:
        with open(tmp_path / "table.csv", "wb") as file:
            file.truncate(table_mb * MB)
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            "task: regression\nlabel: price\ndata: table.csv\ngates: {rmse: {at_most: 5}}\n"
        )
        return worker_count.of_run(config_file.load(path, settings))

    return call


@pytest.fixture
def one_core():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "table_mb, settings, expected",
    [
        (1, [], 1),
        (2 * SHARD_MB - 1, [], 1),
        (2 * SHARD_MB, [], min(2, CORES)),
        (1000 * SHARD_MB, ["memory_mb=1000000"], CORES),
        (1000 * SHARD_MB, ["memory_mb=2099"], 1),
        (1000 * SHARD_MB, ["memory_mb=2100"], min(2, CORES)),
        (1000 * SHARD_MB, ["memory_mb=500"], 1),
        (1, ["beam.workers=3"], 3),
        (1000 * SHARD_MB, ["beam.workers=1"], 1),
        (1000 * SHARD_MB, ["beam.args=[--runner=FlinkRunner]"], 1),
    ],
)
def test_size_cores_and_memory_decide_the_number_of_workers(count, table_mb, settings, expected):
    assert count(table_mb, *settings) == expected


def test_one_core_gets_one_worker(count, one_core):
    assert count(1000 * SHARD_MB) == 1
