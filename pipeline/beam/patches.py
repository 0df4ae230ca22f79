"""Saves Beam work that is needless when everything runs in this process or in forks of it."""

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
    """Patches Beam to skip or cache repeated work.

    The last two items take a quarter of the CPU time of Beam's steps at 15,000 rows:

    - Beam pickles every function several times and compresses payloads that stay on the machine.
    - It inspects the arguments of all methods of all functions of a pipeline seven times.
    - It builds a parser of all options whenever one of them is read. Each parser looks on disk for
      dozens of message catalogs, and Python does not cache that they do not exist.
    """
    os.environ["LANGUAGE"] = "C"
    setattr(cloudpickle_pickler, "bz2", _AsItIs)  # noqa: B010
    if not isinstance(core.get_function_args_defaults, _Arguments):
        looked_at = _Arguments(core.get_function_args_defaults)
        setattr(core, "get_function_args_defaults", looked_at)  # noqa: B010
        setattr(PipelineOptions, "view_as", _remembering_views(PipelineOptions.view_as))  # noqa: B010


class _Arguments:
    """Replacement of `get_function_args_defaults` that caches the arguments of methods."""

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
    """Wraps `view_as` to reuse the first view of each class: all views share the same options."""
    known: weakref.WeakKeyDictionary[PipelineOptions, dict] = weakref.WeakKeyDictionary()

    def remembered(self, cls):
        views = known.setdefault(self, {})
        view = views.get(cls)
        if view is None or view._all_options is not self._all_options:
            view = views[cls] = view_as(self, cls)
        return view

    return remembered


class _AsItIs:
    """Replacement of the module `bz2` that does not compress."""

    @staticmethod
    def compress(data: bytes, compresslevel: int = 9) -> bytes:
        return data

    @staticmethod
    def decompress(data: bytes) -> bytes:
        # Functions pickled before the patch are compressed; no pickle starts with these bytes.
        return bz2.decompress(data) if data.startswith(b"BZh") else data
