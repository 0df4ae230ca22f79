"""Engines of Beam, each started once for all of its tests.

An engine that cannot be obtained here is skipped; the reason says what is missing.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import beam_engines
from benchmarks.beam_engines import Started
from tests.e2e.conftest import SMALL, Problem, houses, king_county, problem

__all__ = ["houses", "king_county"]  # fixtures


@pytest.fixture(scope="session", params=beam_engines.ENGINES)
def engine(request, tmp_path_factory) -> Iterator[Started]:
    """Yields each engine in turn."""
    logs = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(beam_engines.ENGINES[request.param](logs))
        except beam_engines.Missing as missing:
            pytest.skip(f"{request.param}: {missing}")
        yield started


@pytest.fixture(scope="session")
def small_table(houses, tmp_path_factory) -> Problem:
    """Returns a problem with two classes, gaps, text, three files and no schema."""
    folder = tmp_path_factory.mktemp("small_table")
    rng = np.random.default_rng(0)
    table = houses.head(1800).drop(columns="id")
    table["agent"] = rng.choice(["Ann", "Bo, Jr.", "Çelik"], len(table))
    table["dear"] = np.where(table.pop("price") > 600_000, "yes", "no")
    for column in ("sqft_lot", "agent", "date"):
        table[column] = table[column].mask(rng.random(len(table)) < 0.2)
    (folder / "parts").mkdir()
    for part in range(3):
        table.iloc[part::3].to_csv(folder / "parts" / f"{part}.csv", index=False)
    settings = {
        "data": "parts/*.csv",
        "label": "dear",
        "task": "binary",
        "gates": {"auc": {"at_least": 0.8}},
        "slices": ["waterfront"],
        "model": {"name": "tabm", "params": SMALL},
        "train": {"max_steps": 200, "evaluate_every": 100},
    }
    return problem(folder, settings)


@pytest.fixture(params=["small_table", "king_county"])
def table(request) -> Problem:
    """Returns each problem in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def in_process(tmp_path_factory):
    """Returns a function that runs a problem without an engine, once, and returns where."""
    done: dict[pathlib.Path, Problem] = {}

    def run(wanted: Problem) -> Problem:
        key = wanted.config
        if key not in done:
            done[key] = Problem(wanted.config, tmp_path_factory.mktemp("in_process"))
            done[key].run()
        return done[key]

    return run


def setting(engine: Started) -> str:
    """Returns the setting that makes a run use an engine."""
    return f"beam={json.dumps(engine.section)}"
