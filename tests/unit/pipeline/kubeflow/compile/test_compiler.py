"""Tests that the compiled workflow contains what the `kubeflow:` section asks for."""

import json
import pathlib
import re
import shutil

import pytest
import yaml

from models.errors import UserError
from pipeline.config import config_file
from pipeline.kubeflow.compile import compiler as compile_lib
from pipeline.kubeflow.compile import parameters
from pipeline.kubeflow.rules import lint
from tests.helpers import cluster_config

ROOT = pathlib.Path(__file__).parents[5]
KING_COUNTY = ROOT / "data" / "king_county" / "pipeline.yaml"
EVERYTHING = [
    "kubeflow.service_account=runner",
    "kubeflow.environment={STAGE: test}",
    "kubeflow.secrets={DB_PASSWORD: db/password}",
    "kubeflow.labels={team: pricing}",
    "kubeflow.node_selector={pool: ml}",
    "kubeflow.image_pull_secrets=[registry]",
    "kubeflow.metadata={host: mlmd.example.com, port: 9090}",
    "kubeflow.resources={default: {cpu: 500m, memory: 2Gi}, Trainer: {memory: 8Gi, gpu: 1}}",
    "kubeflow.retries={limit: 4, backoff: 10, factor: 3, policy: OnFailure}",
]


def workflow(tmp_path, *settings: str) -> dict:
    path = compile_lib.compile_all(*cluster_config.load(KING_COUNTY, settings), tmp_path).files[0]
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict:
    return workflow(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> dict:
    return workflow(tmp_path_factory.mktemp("full"), *EVERYTHING)


def step(manifest: dict, name: str) -> dict:
    (found,) = [item for item in manifest["spec"]["templates"] if item["name"] == name]
    return found


def containers(manifest: dict) -> list[dict]:
    return [item for item in manifest["spec"]["templates"] if "container" in item]


def test_the_same_configuration_gives_the_same_bytes(plain, tmp_path):
    again = workflow(tmp_path)
    assert yaml.safe_dump(again) == yaml.safe_dump(plain)


def test_names_with_braces_are_not_variables_of_argo(tmp_path):
    names = ["{{workflow.uid}}", "größe {{{a", "b/c [v1] {d}"]
    table = tmp_path / "häuser {{x}} [v1].csv"
    table.write_text("price\n1\n")
    content = {
        "task": "regression",
        "label": "price",
        "data": table.name,
        "features": dict.fromkeys(names, "numeric"),
        "more_labels": {"{{label}}": "binary"},
        "gates": {"rmse": {"at_most": 5}, "{{label}}/auc": {"at_least": 0.6}},
        "kubeflow": {
            "image": "houses:1",
            "workspace": "/mnt/arbeit ä {a}",
            "data": "/mnt/daten [v1] {b}",
            "volumes": {"pipelines": "/mnt"},
        },
    }
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(content))
    compiled = compile_lib.compile_all(*cluster_config.load(file), tmp_path / "compiled").files[0]
    assert lint.check(compiled) == []
    found = yaml.safe_load(compiled.read_text())
    variables = set(re.findall("{{.*?}}", compiled.read_text()))
    assert {variable.partition(".")[0] for variable in variables} == {"{{inputs"}
    values = {
        parameter["name"]: parameter["value"]
        for parameter in found["spec"]["arguments"]["parameters"]
    }
    assert json.loads(values["gates"])["{{label}}/auc"] == {"at_least": 0.6}
    assert values["data-directory"] == "/mnt/daten [v1] {b}"
    args = step(found, "transform")["container"]["args"]
    told = json.dumps(json.loads(args[args.index("--tfx_ir") + 1]))
    for name in names:
        # The settings are JSON in a string of JSON in a string of the IR.
        in_config = json.dumps(json.dumps(name))[1:-1]
        assert json.dumps(in_config)[1:-1] in told, name
    args = step(found, "tableexamplegen")["container"]["args"]
    assert "user {{x}} " in str(json.loads(args[args.index("--tfx_ir") + 1]))


def test_without_gates_a_run_has_no_parameter_for_them(tmp_path):
    found = workflow(tmp_path, "gates=never")
    assert "gates" not in [
        parameter["name"] for parameter in found["spec"]["arguments"]["parameters"]
    ]
    assert lint.check(tmp_path / compile_lib.WORKFLOW) == []


def test_run_parameters_have_the_configuration_s_values(plain):
    found = {item["name"]: item["value"] for item in plain["spec"]["arguments"]["parameters"]}
    assert json.loads(found.pop("gates")) == {
        "rmse": {"at_most": 115000, "may_worsen_by": 0.05},
        "rmsle": {"at_most": 0.165, "may_worsen_by": 0.05},
        "skill": {"at_least": 0.89},
    }
    assert found == {
        "data-directory": "data/king_county",
        "max-steps": "1500",
        "new-baseline": "",
        "pipeline-root": "/mnt/pipelines/king_county/artifacts",
        "serving-directory": "/mnt/pipelines/king_county/serving",
        "training-root": "/mnt/pipelines/king_county/training",
    }


def test_every_step_sees_the_volume_and_runs_the_image(plain):
    assert len(containers(plain)) == 11
    for template in containers(plain):
        container = template["container"]
        assert container["image"] == "registry.example.com/king-county:1.0"
        assert container["command"] == ["python", "-m", "pipeline.kubeflow.steps.step"]
        assert container["volumeMounts"] == [{"name": "pipelines", "mountPath": "/mnt/pipelines"}]
        (volume,) = template["volumes"]
        assert volume["persistentVolumeClaim"] == {"claimName": "pipelines"}
        assert {"configMapRef": {"name": "metadata-grpc-configmap", "optional": True}} in (
            container["envFrom"]
        )


def test_a_workspace_in_a_bucket_needs_no_volume(tmp_path):
    in_bucket = ["kubeflow.workspace=gs://bucket/houses", "kubeflow.volumes={}"]
    manifest = workflow(tmp_path, *in_bucket)
    found = {item["name"]: item["value"] for item in manifest["spec"]["arguments"]["parameters"]}
    assert found["pipeline-root"] == "gs://bucket/houses/artifacts"
    assert found["training-root"] == "gs://bucket/houses/training"
    assert found["serving-directory"] == "gs://bucket/houses/serving"
    assert not any("volumes" in template for template in containers(manifest))
    assert lint.check(tmp_path / compile_lib.WORKFLOW) == []


def test_every_setting_is_in_every_step(full):
    spec = full["spec"]
    assert spec["serviceAccountName"] == "runner"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    for template in containers(full):
        variables = {item["name"]: item for item in template["container"]["env"]}
        assert variables["STAGE"]["value"] == "test"
        reference = {"name": "db", "key": "password"}
        assert variables["DB_PASSWORD"]["valueFrom"] == {"secretKeyRef": reference}
        assert template["metadata"]["labels"]["team"] == "pricing"
        assert template["nodeSelector"] == {"pool": "ml"}
        assert template["retryStrategy"] == {
            "limit": 4,
            "retryPolicy": "OnFailure",
            "backoff": {"duration": "10s", "factor": 3},
            "expression": "asInt(lastRetry.exitCode) != 2",
        }
        args = template["container"]["args"]
        metadata = json.loads(args[args.index("--kubeflow_metadata_config") + 1])
        assert metadata["grpc_config"] == {
            "grpc_service_host": {"value": "mlmd.example.com"},
            "grpc_service_port": {"value": "9090"},
        }


def test_a_step_gets_its_own_resources_or_the_default(full):
    assert step(full, "trainer")["container"]["resources"] == {
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"},
        "requests": {"memory": "8Gi"},
    }
    assert step(full, "transform")["container"]["resources"] == {
        "limits": {"memory": "2Gi"},
        "requests": {"cpu": "500m", "memory": "2Gi"},
    }


def test_resources_of_an_unknown_step_are_refused(tmp_path):
    with pytest.raises(UserError, match="kubeflow.resources.Trainr: .* did you mean Trainer"):
        workflow(tmp_path, "kubeflow.resources={Trainr: {cpu: 1}}")
    assert not list(tmp_path.iterdir())


def test_the_workflow_names_nothing_of_this_machine(plain):
    text = yaml.safe_dump(plain)
    assert str(ROOT) not in text
    assert str(pathlib.Path.home()) not in text


@pytest.fixture
def outside(tmp_path) -> pathlib.Path:
    for name in ("pipeline.yaml", "schema.pbtxt", "kc_house_data.csv"):
        shutil.copy(KING_COUNTY.parent / name, tmp_path)
    return tmp_path / "pipeline.yaml"


def test_a_table_outside_the_image_needs_kubeflow_data(outside, tmp_path):
    with pytest.raises(UserError, match="kubeflow.data: missing; .* is not in the image"):
        compile_lib.compile_all(*cluster_config.load(outside), tmp_path / "out")
    placed = cluster_config.load(outside, ["kubeflow.data=gs://bucket/houses"])
    path = compile_lib.compile_all(*placed, tmp_path / "out").files[0]
    found = yaml.safe_load(path.read_text())["spec"]["arguments"]["parameters"]
    assert {"name": parameters.DATA_DIRECTORY, "value": "gs://bucket/houses"} in found


def test_only_some_folders_are_in_the_image(tmp_path):
    config = config_file.load(KING_COUNTY)
    for folder, place in [
        ("data/houses", "data/houses"),
        ("my_problem", None),
        ("data/.git", None),
    ]:
        moved = config.copy(update={"folder": ROOT / folder})
        assert parameters.relative_folder(moved) == place


def test_a_model_outside_the_image_is_refused(outside, tmp_path):
    settings = ["kubeflow.data=gs://bucket/houses", "model=my_model.model_fn"]
    outside.with_name("my_model.py").write_text("def model_fn(): pass\n")
    import sys

    sys.path.append(str(outside.parent))
    try:
        with pytest.raises(
            UserError, match="model.name: my_model.model_fn is in .* not in the image"
        ):
            compile_lib.compile_all(*cluster_config.load(outside, settings), tmp_path / "out")
    finally:
        sys.path.remove(str(outside.parent))
