"""Beam's arguments: which engine runs the data-parallel steps, and the orchestration itself."""

import random
from typing import Any

from pipeline.config import Beam

# Named in full, because Beam's default first tries to download another runner.
_IN_PROCESS = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
_WITH_WORKERS = "--runner=pipeline.runner.Runner"

# TFX packs itself into a source distribution for remote workers at every component (1.5 s and 19 MB
# each) unless a container image is named; in one process no worker ever looks at it.
_NO_PACKAGING = "--sdk_container_image=unused"

# Between them a tenth of the processor's time at 15,000 rows: Beam measures what it puts into a
# cache of side inputs, object by object, and checks types that TFX's own pipelines have right.
_NO_CACHE = "--max_cache_memory_usage_mb=0"
_NO_TYPE_CHECK = "--no_pipeline_type_check"


def for_components(beam: Beam) -> list[Any]:
    """Arguments of the components' Beam pipelines: the configured ones, or in-process defaults."""
    return list(beam.args) or [_WITH_WORKERS, _NO_PACKAGING, _NO_CACHE, _NO_TYPE_CHECK]


def for_orchestration() -> list[str]:
    """Arguments of the pipeline of pipelines, which BeamDagRunner takes from `sys.argv`."""
    return [_IN_PROCESS]


def seed() -> None:
    """Before a node runs: Beam's Reshuffle draws from Python's generator.

    With it ExampleGen writes its splits, so the order of the examples depends on it.
    """
    random.seed(0)
