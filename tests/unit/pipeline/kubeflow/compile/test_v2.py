"""Tests that both engines accept the V2 pipelines, which follow the `kubeflow:` section."""

import json
import pathlib
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from test_compiler import EVERYTHING, KING_COUNTY, ROOT

from pipeline.kubeflow.compile import compiler as compile_lib
from tests.helpers import cluster_config

STEPS = {
    "Baseline",
    "TableExampleGen",
    "CuratedSchema",
    "DataGate",
    "Evaluator",
    "ExampleValidator",
    "Pusher",
    "ServingCheck",
    "StatisticsGen",
    "Trainer",
    "Transform",
}
BUCKET = ["kubeflow.workspace=gs://bucket/houses/", "kubeflow.volumes={}"]


class Files:
    """The files that `compile` writes for V2 engines, and its notes."""

    def __init__(self, folder: pathlib.Path, *settings: str):
        compiled = compile_lib.compile_all(*cluster_config.load(KING_COUNTY, settings), folder)
        assert [file.name for file in compiled.files][1:] == [
            "pipeline_job.json",
            "pipeline_spec.yaml",
        ]
        self.job = json.loads(compiled.files[1].read_text())
        self.spec, *self.more = yaml.safe_load_all(compiled.files[2].read_text())
        self.texts = [file.read_text() for file in compiled.files[1:]]
        self.notes = compiled.notes

    @property
    def both(self) -> list[dict]:
        return [self.job["pipelineSpec"], self.spec]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("full"), *EVERYTHING)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("bucket"), *BUCKET, *EVERYTHING)


def container(spec: dict, step: str) -> dict:
    label = spec["components"][step]["executorLabel"]
    return spec["deploymentSpec"]["executors"][label]["container"]


def tasks(spec: dict) -> dict[str, dict]:
    return spec["root"]["dag"]["tasks"]


def defaults(spec: dict) -> dict:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {
        "data-directory",
        "gates",
        "max-steps",
        "new-baseline",
        "serving-directory",
        "training-root",
    }
    return {
        name: item["defaultValue"] for name, item in parameters.items() if "defaultValue" in item
    }


@pytest.mark.parametrize("files", ["plain", "full", "bucket"])
def test_both_files_parse_without_unknown_fields(files, request):
    found = request.getfixturevalue(files)
    json_format.ParseDict(found.job, pipeline_spec_pb2.PipelineJob())
    for spec in found.both:
        parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        assert parsed.schema_version == "2.1.0"
        assert re.fullmatch("[a-z0-9][a-z0-9-]*", parsed.pipeline_info.name)
        deployment = json.loads(json.dumps(spec["deploymentSpec"]))
        for executor in deployment["executors"].values():
            # These are newer than the messages of the installed kfp.
            for name in ("cpuRequest", "memoryRequest"):
                executor["container"].get("resources", {}).pop(name, None)
        config = json_format.ParseDict(deployment, pipeline_spec_pb2.PipelineDeploymentConfig())
        kinds = {executor.WhichOneof("spec") for executor in config.executors.values()}
        assert kinds == {"container"}, "no resolver and no importer"


def test_every_reference_resolves(plain):
    for spec in plain.both:
        components, dag = spec["components"], tasks(spec)
        assert set(dag) == STEPS
        for task in dag.values():
            component = components[task["componentRef"]["name"]]
            assert component["executorLabel"] in spec["deploymentSpec"]["executors"]
            assert set(task.get("dependentTasks", [])) <= set(dag)
            inputs = component.get("inputDefinitions", {})
            given = task.get("inputs", {})
            for kind in ("parameters", "artifacts"):
                assert set(given.get(kind, {})) == set(inputs.get(kind, {}))
            for source in given.get("artifacts", {}).values():
                output = source["taskOutputArtifact"]
                producer = components[output["producerTask"]]
                known = producer["outputDefinitions"]["artifacts"]
                assert output["outputArtifactKey"] in known
            for source in given.get("parameters", {}).values():
                if name := source.get("componentInputParameter"):
                    assert name in spec["root"]["inputDefinitions"]["parameters"]
                else:
                    assert list(source["runtimeValue"]) == ["constant"]


def test_the_baseline_is_read_after_the_candidate_is_trained(plain):
    for spec in plain.both:
        baseline = tasks(spec)["Baseline"]
        directory = {"componentInputParameter": "serving-directory"}
        assert baseline["inputs"]["parameters"]["directory"] == directory
        assert tasks(spec)["Pusher"]["inputs"]["parameters"] == {"directory": directory}
        assert baseline["dependentTasks"] == ["Trainer"]
        candidate = baseline["inputs"]["artifacts"]["candidate"]["taskOutputArtifact"]
        assert candidate["producerTask"] == "Trainer"
        source = tasks(spec)["Evaluator"]["inputs"]["artifacts"]["baseline_model"]
        assert source["taskOutputArtifact"]["producerTask"] == "Baseline"


def test_steps_that_read_the_deployment_are_never_cached(plain):
    def uncached(spec: dict) -> set[str]:
        found = tasks(spec).items()
        return {name for name, task in found if not task["cachingOptions"].get("enableCache")}

    # Only Vertex AI runs the hook that adds the table's fingerprint to the cache key.
    assert uncached(plain.job["pipelineSpec"]) == {"Baseline", "Pusher"}
    assert uncached(plain.spec) == {"Baseline", "Pusher", "TableExampleGen"}
    assert "lifecycle" in container(plain.job["pipelineSpec"], "TableExampleGen")
    assert "lifecycle" not in container(plain.spec, "TableExampleGen")


def test_every_step_runs_the_image_with_its_pythonpath(plain):
    for spec in plain.both:
        for step in STEPS:
            found = container(spec, step)
            assert found["image"] == "registry.example.com/king-county:1.0"
            assert found["command"] == ["python", "-m", "pipeline.kubeflow.steps.v2_step"]
            assert found["env"] == [{"name": "PYTHONPATH", "value": ".:data/king_county"}]


def test_runs_have_the_configuration_s_values(plain):
    values = defaults(plain.spec)
    assert json.loads(values.pop("gates"))["rmse"] == {"at_most": 115000, "may_worsen_by": 0.05}
    assert values == {
        "data-directory": "data/king_county",
        "max-steps": 1500,
        "new-baseline": "",
        "serving-directory": "/mnt/pipelines/king_county/serving",
        "training-root": "/mnt/pipelines/king_county/training",
    }
    assert "defaultPipelineRoot" not in plain.spec, "a volume is no place for artifacts"


def test_vertex_has_no_directories_on_volumes(plain):
    values = defaults(plain.job["pipelineSpec"])
    assert set(values) == {"data-directory", "gates", "max-steps", "new-baseline"}
    assert plain.job["runtimeConfig"] == {"parameterValues": values}
    (note,) = [text for text in plain.notes if "Vertex AI has no volumes" in text]
    assert "give the pipeline root, training-root, serving-directory (such as gs://" in note


def test_a_bucket_is_shared_by_every_step(bucket):
    values = defaults(bucket.job["pipelineSpec"])
    assert values["serving-directory"] == "gs://bucket/houses/serving"
    assert values["training-root"] == "gs://bucket/houses/training"
    assert bucket.job["runtimeConfig"] == {
        "gcsOutputDirectory": "gs://bucket/houses/artifacts",
        "parameterValues": values,
    }
    assert not any("Vertex AI has no volumes" in note for note in bucket.notes)
    assert defaults(bucket.spec) == values
    assert bucket.spec["defaultPipelineRoot"] == "gs://bucket/houses/artifacts"


def test_resources_are_what_each_engine_reads(full):
    job = full.job["pipelineSpec"]
    assert container(job, "Transform")["resources"] == {
        "cpuLimit": 0.5,
        "memoryLimit": pytest.approx(2 * 1.024**3),
    }
    assert container(full.spec, "Transform")["resources"] == {
        "cpuRequest": 0.5,
        "memoryRequest": pytest.approx(2 * 1.024**3),
        "memoryLimit": pytest.approx(2 * 1.024**3),
    }
    assert container(full.spec, "Trainer")["resources"] == {
        "memoryRequest": pytest.approx(8 * 1.024**3),
        "memoryLimit": pytest.approx(8 * 1.024**3),
        "accelerator": {"type": "nvidia.com/gpu", "count": 1},
    }
    assert "accelerator" not in container(job, "Trainer")["resources"]
    assert any("Trainer gets no GPU" in note for note in full.notes)


def test_vertex_takes_the_gpu_s_model_from_the_node_selector(tmp_path):
    found = Files(
        tmp_path,
        "kubeflow.resources={Trainer: {cpu: 2, cpu_limit: 4, gpu: 2}}",
        "kubeflow.node_selector={cloud.google.com/gke-accelerator: nvidia-tesla-t4}",
    )
    assert container(found.job["pipelineSpec"], "Trainer")["resources"] == {
        "cpuLimit": 4,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": 2},
    }
    assert "resources" not in container(found.spec, "Transform")
    assert not any("GPU" in note for note in found.notes)


def test_every_step_has_the_retries_and_variables(full):
    for spec, longest in zip(full.both, ("3600s", "2592000s")):
        for step, task in tasks(spec).items():
            assert task["retryPolicy"] == {
                "maxRetryCount": 4,
                "backoffDuration": "10s",
                "backoffFactor": 3,
                "backoffMaxDuration": longest,
            }
            assert {"name": "STAGE", "value": "test"} in container(spec, step)["env"]


def test_settings_of_kubernetes_are_in_the_second_document(full, plain):
    (document,) = full.more
    executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(full.spec["deploymentSpec"]["executors"])
    for config in executors.values():
        assert config == {
            "pvcMount": [{"constant": "pipelines", "mountPath": "/mnt/pipelines"}],
            "secretAsEnv": [
                {
                    "secretName": "db",
                    "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}],
                }
            ],
            "podMetadata": {"labels": {"team": "pricing"}},
            "nodeSelector": {"labels": {"pool": "ml"}},
            "imagePullSecret": [{"secretName": "registry"}],
        }


def test_without_settings_of_kubernetes_there_is_one_document(tmp_path):
    assert Files(tmp_path, *BUCKET).more == []


def test_settings_without_an_equivalent_are_noted(full):
    text = "\n".join(full.notes)
    for part in (
        "give the service account (runner) when submitting",
        "kubeflow.metadata is not used",
        "kubeflow.retries.policy is not used",
        "no equivalent of kubeflow.volumes, kubeflow.secrets, kubeflow.labels, "
        "kubeflow.node_selector, kubeflow.image_pull_secrets;",
    ):
        assert part in text


def test_the_same_configuration_gives_the_same_bytes(plain, tmp_path):
    assert Files(tmp_path).texts == plain.texts


def test_the_files_name_nothing_of_this_machine(plain):
    for text in plain.texts:
        assert str(ROOT) not in text
        assert str(pathlib.Path.home()) not in text
