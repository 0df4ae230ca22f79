import base64
import gettext
import os

import apache_beam as beam
import objsize
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.internal import cloudpickle_pickler, pickler
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, TypeOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core, userstate
from objsize import traverse

from components import statistics_gen
from pipeline.beam import patches
from pipeline.config.beam_config import Beam
from pipeline.graph import beam_args

OURS = beam_args.for_components(Beam())


@pytest.fixture
def spared(monkeypatch):
    """Patches Beam until the end of the test; returns a function pickled before the patch."""
    monkeypatch.setenv("LANGUAGE", "en_US")
    before = pickler.dumps(lambda x: x + 1)
    with patches.applied(OURS):
        yield before


@pytest.mark.parametrize("arguments", [OURS, ["--runner=FlinkRunner"]])
def test_beam_is_patched_only_for_our_runner_and_only_inside_the_context(arguments, monkeypatch):
    monkeypatch.delenv("LANGUAGE", raising=False)

    def patched() -> list[object]:
        view, size = PipelineOptions.view_as, statecache.objsize
        arguments = core.get_function_args_defaults
        return [cloudpickle_pickler.bz2, arguments, view, size, dict(os.environ)]

    before = patched()
    with patches.applied(arguments):
        differ = [one != other for one, other in zip(before, patched())]
        assert differ == [arguments is OURS] * 5
    assert patched() == before


def test_functions_are_not_compressed_and_compressed_ones_are_read(spared):
    # Data that compresses well, to show that it is not compressed.
    data = bytes(10_000)
    pickled = pickler.dumps(lambda: data)
    assert data in base64.b64decode(pickled)
    assert pickler.loads(pickled)() == data
    assert pickler.loads(spared)(1) == 2


@pytest.mark.parametrize("arguments", [OURS, ["--runner=FlinkRunner"]])
def test_only_the_results_of_statistics_gen_are_merged_in_one_step(arguments):
    statistics = beam.CombinePerKey(statistics_gen.MERGED_IN_ONE_STEP([]))
    others = beam.CombinePerKey(sum)
    with patches.applied(arguments):
        assert statistics.with_hot_key_fanout(128) is statistics
        assert others.with_hot_key_fanout(128) is not others
    assert statistics.with_hot_key_fanout(128) is not statistics


def test_no_message_catalogs_are_searched(spared, monkeypatch):
    looked_for: list[str] = []
    monkeypatch.setattr(os.path, "exists", looked_for.append)
    gettext.gettext("usage: ")
    assert looked_for == []


def test_cached_values_are_measured_without_a_look_at_all_modules(spared, monkeypatch):
    def look():
        pytest.fail("the variables of modules were listed")

    # A function refers to its module, whose variables are not part of a value.
    value = [{"rows": list(range(1000, 2000))}, test_no_message_catalogs_are_searched, patches]
    with monkeypatch.context() as patch:
        patch.setattr(traverse, "_iter_modules_globals", look)
        size = statecache.get_deep_size(value)
    with monkeypatch.context() as patch:
        patch.setattr(statecache, "objsize", objsize)
        assert size == statecache.get_deep_size(value) > 30_000


class Counts(beam.DoFn):
    """A DoFn with a state among its arguments."""

    STATE = userstate.CombiningValueStateSpec("count", VarIntCoder(), sum)
    PARAM = beam.DoFn.StateParam(STATE)

    def process(self, element, number=3, state=PARAM):
        yield element, number, state


class AddsUp(beam.DoFn):
    def process(self, element, window=beam.DoFn.WindowParam):
        yield element, window


def test_the_arguments_of_a_method_are_inspected_once(spared, monkeypatch):
    looks = []
    look = core.get_signature

    def noted(function):
        looks.append(function)
        return look(function)

    monkeypatch.setattr(core, "get_signature", noted)
    for _ in range(3):
        # Methods are inspected once each; functions every time, as they may be new.
        assert core.get_function_arguments(Counts(), "process") == (
            ["element", "number", "state"],
            [3, Counts.PARAM],
        )
        assert core.get_function_arguments(AddsUp(), "process")[0] == ["element", "window"]
        assert core.get_function_args_defaults(lambda x, y=2: x) == (["x", "y"], [2])
        assert userstate.get_dofn_specs(Counts()) == ({Counts.STATE}, set())
    methods = [look.__func__ for look in looks if look.__name__ != "<lambda>"]
    assert len(methods) == len(set(methods))
    # A caller that changes its list does not change the cached one.
    core.get_function_arguments(Counts(), "process")[0].clear()
    assert core.get_function_arguments(Counts(), "process")[0]


def test_a_view_of_options_is_created_once_and_follows_changes(spared):
    options = PipelineOptions(["--runner=DirectRunner"])
    view = options.view_as(StandardOptions)
    assert options.view_as(StandardOptions) is view
    view.runner = "FlinkRunner"
    assert options.view_as(TypeOptions).view_as(StandardOptions).runner == "FlinkRunner"
    others = PipelineOptions(["--runner=SparkRunner"])
    assert others.view_as(StandardOptions).runner == "SparkRunner"
    options.view_as(StandardOptions)._all_options = {}
    assert options.view_as(StandardOptions).runner == "FlinkRunner"
