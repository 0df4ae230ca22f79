"""Saves Beam work that is needless here, above all when no worker is on another machine."""

import bz2
import contextlib
import functools
import os
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core

from components import statistics_gen
from pipeline.graph import beam_args


@contextlib.contextmanager
def applied(beam_arguments: Iterable[str]) -> Iterator[None]:
    """Context manager: patches Beam to skip or cache repeated work, and restores it at the end.

    For every engine, the results of StatisticsGen are merged in one step.

    Only if the arguments name our runner, since other engines' workers are not patched, it changes
    four more habits of Beam:

    - Beam pickles every function several times and compresses payloads that stay on the machine.
    - It inspects the arguments of all methods of all functions of a pipeline seven times.
    - It builds a parser of all options whenever one of them is read. Each parser looks on disk for
      dozens of message catalogs, and Python does not cache that they do not exist.
    - It measures each value that it caches for a step, and for that lists the global variables of
      thousands of modules, to leave them out. No value leads to them: Beam skips functions anyway.

    Inspecting arguments and building parsers together take a quarter of the CPU time of Beam's
    steps at 15,000 rows; listing variables takes a quarter of the Evaluator's at 400 rows.
    """
    with contextlib.ExitStack() as stack:
        replace = functools.partial(_replace, stack)
        spread = core.CombinePerKey.with_hot_key_fanout
        replace(core.CombinePerKey, "with_hot_key_fanout", _spreading_where_it_pays(spread))
        if any(beam_args.RUNNER in argument for argument in beam_arguments):
            replace(cloudpickle_pickler, "bz2", _Uncompressed)
            replace(core, "get_function_args_defaults", _Arguments(core.get_function_args_defaults))
            replace(PipelineOptions, "view_as", _remembering_views(PipelineOptions.view_as))
            replace(statecache, "objsize", _without_modules(statecache.objsize))
            language = os.environ.get("LANGUAGE")
            os.environ["LANGUAGE"] = "C"
            stack.callback(_restore_language, language)
        yield


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, replacement: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, replacement)


def _restore_language(language: str | None) -> None:
    if language is None:
        del os.environ["LANGUAGE"]
    else:
        os.environ["LANGUAGE"] = language


def _spreading_where_it_pays(with_hot_key_fanout: Callable) -> Callable:
    """Wraps `with_hot_key_fanout` to do nothing for StatisticsGen."""

    def spreading(combine, fanout):
        if isinstance(combine.fn, statistics_gen.MERGED_IN_ONE_STEP):
            return combine
        return with_hot_key_fanout(combine, fanout)

    return spreading


class _Arguments:
    """Replacement of `get_function_args_defaults` that caches the arguments of methods."""

    def __init__(self, look: Callable[[Any], tuple[list, list]]):
        self._look = look
        self._known: weakref.WeakKeyDictionary[Any, tuple[list, list]]
        self._known = weakref.WeakKeyDictionary()

    def __call__(self, function: Any) -> tuple[list, list]:
        if not isinstance(function, types.MethodType):
            return self._look(function)
        if (arguments := self._known.get(function.__func__)) is None:
            arguments = self._known[function.__func__] = self._look(function)
        names, defaults = arguments
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


def _without_modules(objsize: Any) -> types.SimpleNamespace:
    """Returns a replacement of the module `objsize` that does not list the variables of modules."""
    size = functools.partial(objsize.get_deep_size, exclude_modules_globals=False)
    return types.SimpleNamespace(get_deep_size=size)


class _Uncompressed:
    """Replacement of the module `bz2` that does not compress."""

    @staticmethod
    def compress(data: bytes, compresslevel: int = 9) -> bytes:
        return data

    @staticmethod
    def decompress(data: bytes) -> bytes:
        # Functions pickled before the patch are compressed; no pickle starts with these bytes.
        return bz2.decompress(data) if data.startswith(b"BZh") else data
