"""What Beam need not do where all of its work is done in this process, or in forks of it."""

import bz2
import os
import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core


def spare_work() -> None:
    """Has Beam do once, or not at all, what it does at each look at a pipeline.

    The last two are a quarter of the CPU seconds of Beam's steps at 15,000 rows:

    - It pickles every function several times, and compresses for a wire that there is not.
    - It looks seven times at the arguments of all methods of all functions of a pipeline.
    - It makes a parser of all options at each look at one of them. Parsers ask the disk for dozens
      of message catalogues, and Python does not remember that there are none.
    """
    os.environ["LANGUAGE"] = "C"
    setattr(cloudpickle_pickler, "bz2", _AsItIs)  # noqa: B010
    if not isinstance(core.get_function_args_defaults, _Arguments):
        looked_at = _Arguments(core.get_function_args_defaults)
        setattr(core, "get_function_args_defaults", looked_at)  # noqa: B010
        setattr(PipelineOptions, "view_as", _remembering_views(PipelineOptions.view_as))  # noqa: B010


class _Arguments:
    """In the place of `get_function_args_defaults`: those of a method do not change."""

    def __init__(self, look: Callable[[Any], tuple[list, list]]):
        self._look = look
        self._known: weakref.WeakKeyDictionary[Any, tuple[list, list]]
        self._known = weakref.WeakKeyDictionary()

    def __call__(self, function: Any) -> tuple[list, list]:
        if not isinstance(function, types.MethodType):
            return self._look(function)
        if (found := self._known.get(function.__func__)) is None:
            found = self._known[function.__func__] = self._look(function)
        names, defaults = found
        return [*names], [*defaults]


def _remembering_views(view_as: Callable) -> Callable:
    """All views share what they show, so that the first one of a kind will do."""
    known: weakref.WeakKeyDictionary[PipelineOptions, dict] = weakref.WeakKeyDictionary()

    def remembered(self, cls):
        views = known.setdefault(self, {})
        view = views.get(cls)
        if view is None or view._all_options is not self._all_options:
            view = views[cls] = view_as(self, cls)
        return view

    return remembered


class _AsItIs:
    """In the place of the module `bz2`."""

    @staticmethod
    def compress(data: bytes, compresslevel: int = 9) -> bytes:
        return data

    @staticmethod
    def decompress(data: bytes) -> bytes:
        # What was pickled before is compressed; a pickle does not begin so.
        return bz2.decompress(data) if data.startswith(b"BZh") else data
