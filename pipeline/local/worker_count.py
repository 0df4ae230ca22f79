"""The number of Beam workers that a run on this machine takes."""

import os
import sys

import psutil

from components.table_example_gen import Options
from pipeline.config.configuration import Config
from pipeline.preflight import data_check

_WORTH_BYTES = Options(format="csv").shard_bytes
"""Bytes of the table per worker: starting one takes seconds, and a shard has one reader."""
_RUN_MB, _WORKER_MB = 1000, 550
"""MB of a run without workers and of each worker at a million rows: `benchmarks/pipeline.py`."""


def of_run(config: Config) -> int:
    """Returns the number of workers: as configured, or by the table's size, cores and memory.

    The memory that may be used is `memory_mb`, by default half of the machine's. With an engine,
    or on systems other than Linux, the default is 1 worker.
    """
    if config.beam.workers or config.beam.is_elsewhere or sys.platform != "linux":
        return config.beam.workers or 1
    table_bytes = sum(file.stat().st_size for file in data_check.data_files(config))
    memory_mb = config.memory_mb or (psutil.virtual_memory().total >> 21)
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, table_bytes // _WORTH_BYTES, (memory_mb - _RUN_MB) // _WORKER_MB))
