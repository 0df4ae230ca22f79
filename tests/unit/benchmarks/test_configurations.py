"""Tests that every benchmark's configuration loads with the benchmark's own settings."""

import dataclasses
import json
import pathlib
import re
import shlex

import pytest
import yaml

from benchmarks import distributed, memory, pipeline, quality, quality_runs, tables
from pipeline.config import config_file
from pipeline.config.problem_settings import train_settings
from pipeline.config.train_config import Train

KING_COUNTY = tables.REPOSITORY / "data" / "king_county" / "pipeline.yaml"
TEXTS = [
    tables.REPOSITORY / "README.md",
    *sorted((tables.REPOSITORY / "docs").glob("*.md")),
    pathlib.Path(quality.__file__),
]


def commands(name: str) -> list[list[str]]:
    """Returns the arguments of each command in the documentation that runs a benchmark."""
    matches = [
        re.search(rf"python benchmarks/{name}\.py(.*?)(#|$)", line)
        for text in TEXTS
        for line in text.read_text(encoding="utf-8").splitlines()
    ]
    return [shlex.split(match[1]) for match in matches if match]


@pytest.mark.parametrize("dataset", tables.DATASETS)
def test_quality_configures_each_model_and_pushes_none(dataset, tmp_path):
    for file in ("table.csv", "schema.pbtxt"):
        (tmp_path / file).touch()
    runs = quality_runs.DatasetRuns(dataset, 1, tmp_path)
    table = tables.settings(dataset, tmp_path)
    presets = (yaml.safe_load(runs.file.read_text()).get("presets") or {}).keys()
    for name in (None, *quality.MODELS, *(f"tabm@{preset}" for preset in presets)):
        config = runs.configured(table, name, ["train.evaluate_every=50"])
        assert config.gates is None and config.slices == ()
        assert (config.train.seed, config.train.evaluate_every) == (1, 50)
        assert config.splits.key == tables.KEY
        assert name is None or config.model.name == name.partition("@")[0]


@pytest.mark.parametrize("arguments", commands("quality"), ids=shlex.join)
def test_documented_quality_commands_are_valid(arguments):
    args = quality.parse_args(arguments)
    for dataset in args.datasets:
        for model in args.models:
            quality_runs.DatasetRuns(dataset, 0, args.workspace).configured([], model, args.set)


def test_the_documentation_has_quality_commands():
    assert len(commands("quality")) >= 2


def test_the_pipeline_that_is_compared_with_the_stock_one(tmp_path):
    config = config_file.load(pipeline.CONFIG, pipeline.settings(tmp_path / "trips.csv"))
    assert config.train.max_steps == config.train.evaluate_every == pipeline.STEPS
    assert config.gates, "it has to push, as the stock pipeline does"


def test_the_configuration_that_measures_memory():
    settings = [f"{key}={json.dumps(value)}" for key, value in memory.SETTINGS.items()]
    settings.append("train.max_steps=null")  # as `Problem.replaced` does if epochs are given
    assert config_file.load(KING_COUNTY, settings).model.name == "premade.linear"


@pytest.mark.parametrize("way", distributed.WAYS)
def test_clusters_are_configured_as_measured(way):
    tasks = distributed.WAYS[way]
    if tasks and tasks.workers:  # a chief alone cannot be configured
        train = Train.parse_obj({"cluster": dataclasses.asdict(tasks)})
        assert train_settings(train).tasks == tasks
