"""Beam as the project's runs use it: its arguments and patches, which halve a small step's time."""

import contextlib
from typing import Any

from pipeline.beam import patches
from pipeline.config.beam_config import Beam
from pipeline.graph import beam_args

ARGUMENTS: list[Any] = beam_args.for_components(Beam())


def patched() -> contextlib.AbstractContextManager[None]:
    """Context manager: patches Beam as during a run."""
    return patches.applied(ARGUMENTS)
