"""Tests of Beam's arguments for each engine."""

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config.beam_config import ENGINES, Beam

POOL = {"worker_pool": "localhost:50000"}
POOL_ARGUMENTS = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
DATAFLOW = [
    *("--project=p", "--region=r", "--temp_location=gs://b/t", "--sdk_container_image=image"),
]
CASES = [
    (
        {"engine": "prism", "master": "localhost:8073"},
        [
            *("--runner=PortableRunner", "--job_endpoint=localhost:8073"),
            "--environment_type=LOOPBACK",
        ],
    ),
    (
        {"engine": "prism", "master": "[::1]:8073", **POOL},
        ["--runner=PortableRunner", "--job_endpoint=[::1]:8073", *POOL_ARGUMENTS],
    ),
    (
        {
            "engine": "flink",
            "master": "jobs:8081",
            "parallelism": 8,
            "args": ["--flink_version=1.20"],
            **POOL,
        },
        [
            *("--runner=FlinkRunner", "--flink_master=jobs:8081", "--parallelism=8"),
            *(*POOL_ARGUMENTS, "--flink_version=1.20"),
        ],
    ),
    (
        {"engine": "flink", "args": ["--job_endpoint=jobs:8099"], **POOL},
        ["--runner=FlinkRunner", *POOL_ARGUMENTS, "--job_endpoint=jobs:8099"],
    ),
    (
        {"engine": "spark", "master": "m:7077", "args": ["--environment_type=DOCKER"]},
        [
            *("--runner=SparkRunner", "--spark_master_url=spark://m:7077"),
            "--environment_type=DOCKER",
        ],
    ),
    ({"engine": "dataflow", "args": DATAFLOW}, ["--runner=DataflowRunner", *DATAFLOW]),
]


@pytest.mark.parametrize(("section", "arguments"), CASES)
def test_the_section_becomes_arguments_that_beam_knows(section, arguments):
    assert Beam(**section).arguments() == arguments
    options = PipelineOptions(arguments).get_all_options()
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        assert str(options[name]) == value


def test_without_an_engine_the_arguments_are_as_given():
    assert Beam(args=["--runner=X", "--a=b"]).arguments() == ["--runner=X", "--a=b"]
    assert Beam().arguments() == []


def test_beam_knows_every_option_of_the_engines():
    known = PipelineOptions([]).get_all_options()
    for engine in ENGINES.values():
        for name in filter(None, (engine.master, engine.parallelism, *engine.required)):
            assert name.lstrip("-") in known
        for start in engine.own:
            assert any(f"--{name}".startswith(start) for name in known), start
