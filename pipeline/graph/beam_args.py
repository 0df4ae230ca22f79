"""Beam arguments that choose the engine of the data-parallel steps and of the orchestration."""

import random
from typing import Any

from pipeline.config.beam_config import Beam

# The full name, because Beam's default runner first tries to download another one.
_IN_PROCESS = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
RUNNER = "pipeline.beam.runner.Runner"
"""The in-process runner with worker processes."""

# Unless a container image is named, every component makes TFX build a source distribution of itself
# for remote workers (1.5 s and 19 MB each). Local workers and those of a pool never read it.
_NO_PACKAGING = "--sdk_container_image=unused"

# Beam measures every object that it puts into its cache of side inputs, and checks types that are
# correct in TFX's own pipelines. Together this takes a tenth of the CPU time at 15,000 rows.
_NO_CACHE = "--max_cache_memory_usage_mb=0"
_NO_TYPE_CHECK = "--no_pipeline_type_check"


def for_components(beam: Beam) -> list[Any]:
    """Returns the components' Beam arguments: the configured ones or defaults for this machine."""
    if beam.engine:
        return [_NO_PACKAGING, _NO_TYPE_CHECK, *beam.arguments()]
    return list(beam.args) or [f"--runner={RUNNER}", _NO_PACKAGING, _NO_CACHE, _NO_TYPE_CHECK]


def for_orchestration() -> list[str]:
    """Returns the arguments of the outer Beam pipeline, for BeamDagRunner to find in `sys.argv`."""
    return [_IN_PROCESS]


def seed() -> None:
    """Seeds Python's random generator; to be called before each node runs.

    Beam's Reshuffle draws from it, and ExampleGen's order of examples depends on Reshuffle.
    """
    random.seed(0)
