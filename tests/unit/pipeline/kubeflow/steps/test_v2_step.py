"""Tests of a V2 step, which sees directories for addresses but reports the addresses."""

import json
import pathlib

import pytest
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from pipeline.kubeflow.compile import mounts
from pipeline.kubeflow.steps import v2_step

MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}
ANOMALIES = {"instanceSchema": "title: tfx.ExampleAnomalies\ntype: object\n"}


def run(executor: str, given: dict, definitions: dict) -> None:
    arguments = ["step", "--executor_class_path", executor]
    arguments += ["--json_serialized_invocation_args", json.dumps(given)]
    arguments += ["--json_serialized_inputs_spec_args", json.dumps(definitions)]
    v2_step.main(kubeflow_v2_run_executor._parse_flags(arguments))


@pytest.fixture
def root(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setattr(mounts, "ROOT", tmp_path / "root")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "address, directory",
    [
        ("gs://bucket/a/b", "/gcs/bucket/a/b"),
        ("minio://mlpipeline/v2/x", "/minio/mlpipeline/v2/x"),
        ("s3://bucket/x", "/s3/bucket/x"),
        ("/mnt/pipelines/x", "/mnt/pipelines/x"),
        ("data/king_county", "data/king_county"),
    ],
)
def test_object_stores_are_directories(address, directory):
    assert mounts.local(address) == directory


@pytest.mark.parametrize("scheme, directory", [("minio", "minio"), ("gs", "gcs"), ("s3", "s3")])
def test_outputs_are_written_as_files_and_reported_as_addresses(tmp_path, root, scheme, directory):
    deployed = tmp_path / "serving" / "17"
    deployed.mkdir(parents=True)
    (deployed / "saved_model.pb").write_text("graph")
    candidate = tmp_path / "candidate" / "Format-Serving"
    candidate.mkdir(parents=True)
    address = f"{scheme}://bucket/Baseline/model"
    output = tmp_path / "out" / "output_metadata.json"
    given = {
        "inputs": {
            "parameterValues": {"directory": str(tmp_path / "serving"), "code": "1"},
            "artifacts": {
                "candidate": {"artifacts": [{"uri": str(candidate.parent), "type": MODEL}]}
            },
        },
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"uri": address, "type": MODEL}]}},
            "outputFile": str(output),
        },
    }
    definitions = {
        "parameters": {name: {"parameterType": "STRING"} for name in ("directory", "code")},
        "artifacts": {"candidate": {"artifactType": MODEL}},
    }
    run("components.baseline.executor.Executor", given, definitions)
    files = root / directory / "bucket" / "Baseline" / "model"
    assert (files / "Format-Serving" / "saved_model.pb").read_text() == "graph"
    (written,) = json.loads(output.read_text())["artifacts"]["model"]["artifacts"]
    assert written["uri"] == address
    assert written["metadata"]["pushed_version"] == "17"


def test_an_input_without_a_type_gets_the_components(tmp_path, root):
    """Open-source Kubeflow Pipelines passes no types."""
    anomalies = root / "minio" / "bucket" / "anomalies" / "Split-train"
    anomalies.mkdir(parents=True)
    (anomalies / "SchemaDiff.pb").touch()
    artifact = {
        "name": "7",
        "uri": "minio://bucket/anomalies",
        "metadata": {"split_names": '["train"]', "span": 0.0, "store_session_info": "{}"},
    }
    output = tmp_path / "out" / "output_metadata.json"
    given = {
        "inputs": {"artifacts": {"anomalies": {"artifacts": [artifact]}}},
        "outputs": {"outputFile": str(output)},
    }
    definitions = {"artifacts": {"anomalies": {"artifactType": ANOMALIES}}}
    run("components.data_gate.executor.Executor", given, definitions)
    assert json.loads(output.read_text()) == {}
