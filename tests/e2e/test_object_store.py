"""The compiled workflow with all its files in a bucket, so that steps share no disk.

The store is `tests/fakes/fake_gcs.py`, accessed by the clients of TensorFlow, TFX and Beam.
"""

import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import yaml

from pipeline.kubeflow.local_argo import isolation
from tests.e2e.conftest import REPOSITORY, STEPS, Problem, states

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BUCKET = "houses"
HOME = f"gs://{BUCKET}/king_county"
MOUNT = "/mnt/credentials"
ISOLATED = isinstance(isolation.best(REPOSITORY), isolation.Namespaces)


@dataclasses.dataclass
class Cluster:
    """The problem of the local tests, compiled for a cluster, with its table in a bucket."""

    problem: Problem
    workspace: pathlib.Path

    @property
    def volume(self) -> pathlib.Path:
        return self.workspace / "kubeflow" / "volumes" / "credentials"

    def call(self, name: str, *arguments: str, code: int = 0) -> str:
        runner = [sys.executable, str(REPOSITORY / "kubeflow_runner.py"), name]
        problem = ["-c", str(self.problem.config), "-w", str(self.workspace)]
        done = subprocess.run(
            [*runner, *problem, *arguments], capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def versions(self) -> list[str]:
        names = (name.strip("/") for name in tf.io.gfile.listdir(f"{HOME}/serving"))
        return sorted(name for name in names if name.isdigit())


@pytest.fixture(scope="module")
def cluster(store, king_county, tmp_path_factory) -> Cluster:
    # A copy, since other test files share the problem and the configuration changes here.
    folder = tmp_path_factory.mktemp("in_bucket") / king_county.config.parent.name
    shutil.copytree(king_county.config.parent, folder, ignore=shutil.ignore_patterns("workspace"))
    own = Problem(folder / "pipeline.yaml", folder / "workspace")
    found = Cluster(own, tmp_path_factory.mktemp("cluster"))
    found.volume.mkdir(parents=True)
    seen = MOUNT if ISOLATED else str(found.volume)
    environment = dict(store.environment)
    for name, value in environment.items():
        if value.startswith("/"):
            shutil.copy(value, found.volume)
            environment[name] = f"{seen}/{pathlib.Path(value).name}"
    settings = {
        "image": "registry.example.com/houses:1",
        "workspace": HOME,
        "data": f"gs://{BUCKET}/data",
        "volumes": {"credentials": seen},
        "environment": environment,
    }
    config = yaml.safe_load(own.config.read_text())
    config["kubeflow"] = settings
    own.config.write_text(yaml.safe_dump(config))
    table = own.config.parent / "kc_house_data.csv"
    tf.io.gfile.copy(str(table), f"gs://{BUCKET}/data/kc_house_data.csv")
    notes = found.call("compile")
    assert "workflow.yaml:" not in notes, "nothing is in the way of an Argo Workflow"
    assert "no problems found" in found.call("check")
    return found


@pytest.fixture(scope="module")
def first(cluster) -> str:
    return cluster.call("run")


def test_the_first_run_blesses_and_pushes_a_model(cluster, first):
    assert states(first) == dict.fromkeys(STEPS, "done")
    assert "No other model is deployed" in first
    [version] = cluster.versions
    assert f"pushed to {HOME}/serving/{version}" in first


def test_everything_is_in_the_bucket_and_nothing_on_a_disk(cluster, first, store):
    below = {name.split("/")[1] for name in store.written(BUCKET, "king_county/")}
    assert below - {""} == {"artifacts", "serving", "training"}
    assert {path.name for path in cluster.volume.iterdir()} == {"ca.pem", "credentials.json"}
    kubeflow = {path.name for path in (cluster.workspace / "kubeflow").iterdir()}
    assert kubeflow.isdisjoint(below)
    assert not list(cluster.workspace.rglob("gs:")) and not (REPOSITORY / "gs:").exists()


def test_the_graph_is_written_last_so_that_servers_see_complete_models(cluster, first, store):
    [version] = cluster.versions
    written = store.written(BUCKET, f"king_county/serving/{version}/")
    assert written[-1] == f"king_county/serving/{version}/saved_model.pb"
    assert any(name.endswith("variables/variables.index") for name in written)


def test_the_pushed_model_predicts_exactly_as_that_of_a_local_run(cluster, first, tmp_path):
    local = Problem(cluster.problem.config, tmp_path / "workspace")
    local.run()
    examples = local.workspace / "artifacts" / "TableExampleGen" / "examples"
    files = [str(file) for file in examples.glob("*/Split-test/*.gz")]
    rows = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    assert len(rows) > 300
    [version], [local_version] = cluster.versions, local.versions
    places = (f"{HOME}/serving/{version}", str(local.workspace / "serving" / local_version))
    ours, theirs = (
        tf.saved_model.load(place).signatures["predict"](examples=tf.constant(rows))["predictions"]
        for place in places
    )
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_second_run_is_cached_and_a_worse_model_is_refused(cluster, first):
    second = cluster.call("run")
    assert states(second) == {**dict.fromkeys(states(first), "cached"), "pusher": "done"}
    assert "Blessed and unchanged" in second
    assert len(cluster.versions) == 1

    worse = cluster.call("run", "--param", "max-steps=20", code=3)
    assert states(worse)["transform"] == "cached"
    assert re.search(r"FAIL +RMSE .* baseline", worse)
    assert len(cluster.versions) == 1, "nothing was pushed"
