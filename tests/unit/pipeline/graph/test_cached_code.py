"""Tests that the cache key of a step covers the code of ours that the step runs."""

import ast
import json
import pathlib
from collections.abc import Iterator

import pytest

from pipeline.config import config_file
from pipeline.graph import arguments, fingerprint
from pipeline.graph.pipeline import create_pipeline
from pipeline.storage.workspace import Workspace

PROJECT = pathlib.Path(__file__).parents[4]
HOUSES = PROJECT / "data" / "king_county"
MINOR = {"components", "models", "models.errors"}
"""Modules on which no result depends: they only raise errors or hold other modules."""
OF_MODEL = ("Tuner", "ServingCheck", "Baseline", "Evaluator")
"""Steps that run again after any change in `models`, as it makes another problem or model."""


def file_of(module: str) -> pathlib.Path | None:
    path = PROJECT / module.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def imported(module: str) -> Iterator[str]:
    """Yields the modules that a module imports, without the packages that hold them."""
    file = file_of(module)
    assert file
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if file_of(inner) else node.module


def run_by(*modules: str) -> set[str]:
    """Returns modules of ours, with all that they import."""
    found: set[str] = set()
    ahead = list(modules)
    while ahead:
        module = ahead.pop()
        if module.startswith(("components", "models")) and module not in found:
            found.add(module)
            ahead += [name for name in imported(module) if file_of(name)]
    return found - MINOR


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Returns a function that gives the modules in a step's cache key, and its executor's."""
    monkeypatch.setattr(fingerprint, "of_modules", lambda *names: " ".join(names))

    def call(schema: str) -> dict[str, tuple[list[str], str]]:
        file = tmp_path / "pipeline.yaml"
        file.write_text(
            f"data: {{path: {HOUSES}/kc_house_data.csv{schema}}}\nlabel: price\ntask: regression\n"
            "gates: {rmse: {at_most: 9}}\ntune: {search: {train.batch_size: {choices: [8, 9]}}}\n"
        )
        config = config_file.load(file)
        pipeline = create_pipeline(config, arguments.of_workspace(config, Workspace(tmp_path)))
        keys = {}
        for step in pipeline.components:
            properties = step.exec_properties
            if step.id == "Transform":
                properties = json.loads(properties["custom_config"])
            if "code" in properties:
                executor = step.executor_spec.executor_class.__module__
                keys[step.id] = (properties["code"].split(), executor)
        return keys

    return call


@pytest.mark.parametrize(
    ("schema", "step"), [("", "SchemaGen"), (f", schema: {HOUSES}/schema.pbtxt", "CuratedSchema")]
)
def test_a_cache_key_covers_what_the_step_runs(steps, schema, step):
    keys = steps(schema)
    assert keys.keys() == {step, "Transform", *OF_MODEL}
    for step, (covered, executor) in keys.items():
        modules = run_by(executor)
        if step == "Transform":
            modules |= run_by("models.features.preprocessing")
        missing = {
            module
            for module in modules
            if not any(f"{module}.".startswith(f"{name}.") for name in covered)
            and not (step in OF_MODEL and module.startswith("models"))
        }
        assert missing == set(), step
