"""Tests that a compiled workflow passes, and that a broken one fails with place and cause."""

import copy
import json
import pathlib
import tempfile
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import examples

from models.errors import BAD_INPUT, OK
from pipeline.config import yaml_file
from pipeline.kubeflow.argo import class_lookup
from pipeline.kubeflow.compile import compiler
from pipeline.kubeflow.rules import lint
from pipeline.kubeflow.step_container import REPOSITORY
from tests.helpers import cluster_config

KING_COUNTY = pathlib.Path("data/king_county/pipeline.yaml")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    return compiler.compile_all(*cluster_config.load(KING_COUNTY), folder).files[0]


@pytest.fixture(scope="module")
def genuine(compiled):
    return yaml_file.read(compiled, "workflow")


@pytest.fixture
def workflow(genuine):
    return copy.deepcopy(genuine)


def step(tree, key):
    """Returns the value at a key, name or index, or after a flag."""
    if isinstance(tree, dict):
        return tree[key]
    if key.startswith("--"):
        return tree[tree.index(key) + 1]
    if key.isdigit():
        return tree[int(key)]
    return next(item for item in tree if item["name"] == key)


def at(workflow, path):
    """Returns the parent of a place, and its key or index; `~` in the path is a slash."""
    if path.startswith("templates"):
        path = f"spec/{path}"
    *parents, last = (part.replace("~", "/") for part in path.split("/"))
    tree = workflow
    for key in parents:
        tree = step(tree, key)
    if isinstance(tree, list):
        if last.startswith("--"):
            return tree, tree.index(last) + 1
        last = tree.index(step(tree, last))
    return tree, last


def get(workflow, path):
    tree, key = at(workflow, path)
    return tree[key]


def put(workflow, path, value):
    tree, key = at(workflow, path)
    tree[key] = value


def drop(workflow, path):
    tree, key = at(workflow, path)
    del tree[key]


def rename(workflow, path, name):
    tree, key = at(workflow, path)
    tree[name] = tree.pop(key)


def add(workflow, path, item):
    """Appends an item to a list, which is created if missing."""
    tree, key = at(workflow, path)
    tree.setdefault(key, []).append(item)


def put_in_every_step(workflow, path, value):
    for template in get(workflow, "spec/templates"):
        if "container" in template:
            put(workflow, f"templates/{template['name']}/container/{path}", value)


def ir(workflow, template, change):
    path = f"templates/{template}/container/args/--tfx_ir"
    content = json.loads(get(workflow, path))
    change(content)
    put(workflow, path, json.dumps(content))


def ir_node(workflow, template, change):
    ir(workflow, template, lambda content: change(content["nodes"][0]["pipelineNode"]))


def assert_refused(workflow, *parts):
    problems = lint.findings(workflow)
    assert any(all(part in line for part in parts) for line in problems), problems
    assert all("\n" not in line for line in problems)


TRAINER = "templates/trainer/container"
TASKS = "templates/king-county/dag/tasks"


def test_the_compiled_workflow_has_no_findings(compiled):
    assert lint.check(compiled) == []


SECTIONS: dict[str, dict[str, Any]] = {
    "least": {"image": "houses:1", "workspace": "gs://bucket/home/x"},
    "most": {
        "image": f"registry.example.com:5000/a/b@sha256:{'0' * 64}",
        "workspace": "/mnt/a/b",
        "volumes": {"one": "/mnt/a", "two": "/mnt/b"},
        "data": "gs://bucket/root/d",
        "metadata": {"host": "metadata.example.com", "port": 8080},
        "service_account": "someone",
        "secrets": {"DB_PASSWORD": "db/password"},
        "environment": {
            "TOKENIZERS_PARALLELISM": "false",
            "GOOGLE_APPLICATION_CREDENTIALS": "/secrets/key.json",
        },
        "labels": {"team": "x", "example.com/cost-center": ""},
        "node_selector": {"disk": "ssd"},
        "image_pull_secrets": ["registry"],
        "resources": {"Trainer": {"cpu": "250m", "cpu_limit": 2, "memory": "2Gi", "gpu": 2}},
        "retries": {"limit": 3, "backoff": 10, "factor": 3, "policy": "OnError"},
    },
}


@pytest.mark.parametrize(
    ("table", "section"),
    [
        ("king_county", "least"),
        ("ames", "most"),
        ("series", "most"),
        pytest.param("ames", "least", marks=pytest.mark.slow),
        pytest.param("series", "least", marks=pytest.mark.slow),
        pytest.param("king_county", "most", marks=pytest.mark.slow),
    ],
)
def test_every_setting_compiles_without_findings(table, section, tmp_path):
    config = cluster_config.load(
        pathlib.Path(f"data/{table}/pipeline.yaml"), [f"kubeflow={json.dumps(SECTIONS[section])}"]
    )
    assert lint.check(compiler.compile_all(*config, tmp_path).files[0]) == []


def test_the_command_prints_how_much_was_checked(compiled, capsys):
    assert lint.check_command(compiled) == OK
    line = f"{compiled}: 12 templates, 11 steps: no problems found\n"
    assert capsys.readouterr().out == line


def test_the_command_prints_the_findings(workflow, tmp_path, capsys):
    put(workflow, "spec/entrypoint", "nowhere")
    rename(workflow, "spec/serviceAccountName", "serviceaccountname")
    path = tmp_path / "workflow.yaml"
    path.write_text(yaml.safe_dump(workflow))
    assert lint.check_command(path) == BAD_INPUT
    assert capsys.readouterr().out.startswith(
        f"{path}: spec.serviceaccountname: unknown key; did you mean serviceAccountName?"
    )


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("spec", "specs", "specs: unknown key; did you mean spec?"),
        ("metadata/generateName", "generatename", "metadata.generatename: unknown key"),
        ("spec/entrypoint", "entryPoint", "did you mean entrypoint?"),
        ("templates/trainer/retryStrategy", "retryStategy", "templates.trainer.retryStategy"),
        ("templates/trainer/retryStrategy/backoff/duration", "durations", "backoff.durations"),
        ("templates/trainer/retryStrategy/retryPolicy", "policy", "retryStrategy.policy"),
        (f"{TRAINER}/resources", "resource", "templates.trainer.container.resource: unknown"),
        (f"{TRAINER}/resources/limits", "limit", "container.resources.limit: unknown key"),
        (f"{TRAINER}/env/WORKFLOW_ID/valueFrom", "valuefrom", "WORKFLOW_ID.valuefrom: unknown"),
        (f"{TRAINER}/env/WORKFLOW_ID/valueFrom/fieldRef/fieldPath", "path", "fieldRef.path"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "path", "volumeMounts.pipelines.path"),
        (f"{TRAINER}/envFrom/0/configMapRef", "configMap", "envFrom[0].configMap: unknown key"),
        (f"{TASKS}/trainer/dependencies", "dependency", "tasks.trainer.dependency: unknown"),
        (f"{TASKS}/trainer/arguments/parameters", "params", "trainer.arguments.params: unknown"),
        ("spec/securityContext/runAsUser", "runAsUsr", "spec.securityContext.runAsUsr: unknown"),
        ("templates/trainer/volumes/pipelines/persistentVolumeClaim", "pvc", "pipelines.pvc"),
        ("templates/trainer/metadata/labels", "label", "templates.trainer.metadata.label: unknown"),
    ],
)
def test_a_misspelled_key_is_refused(path, name, message, workflow):
    rename(workflow, path, name)
    assert_refused(workflow, message, "unknown key")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("apiVersion", "apiVersion: missing"),
        ("kind", "kind: missing"),
        ("metadata", "metadata: missing"),
        ("spec", "spec: missing"),
        ("metadata/generateName", "metadata: found neither name nor generateName"),
        ("spec/entrypoint", "spec.entrypoint: missing"),
        ("spec/templates", "spec.templates: missing"),
        ("templates/trainer/name", "templates[10].name: missing"),
        ("templates/trainer/container", "templates.trainer: found nothing to run"),
        (f"{TRAINER}/image", "templates.trainer.container.image: missing"),
        (f"{TRAINER}/command", "templates.trainer.container.command: found none, expected python"),
        (f"{TRAINER}/args", "templates.trainer.container.args: the following arguments are req"),
        (f"{TRAINER}/env", "container.env.WORKFLOW_ID: expected a fieldRef to metadata.labels["),
        (f"{TRAINER}/env/PYTHONPATH/name", "templates.trainer.container.env[1].name: missing"),
        (f"{TRAINER}/volumeMounts/pipelines/name", "volumeMounts[0].name: missing"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "pipelines.mountPath: missing"),
        (f"{TRAINER}/volumeMounts", "templates.trainer.volumes.pipelines: no container mounts it"),
        ("templates/trainer/volumes", "volumeMounts.pipelines: no such volume in this template"),
        ("templates/trainer/volumes/pipelines/persistentVolumeClaim", "found sources none"),
        ("templates/trainer/retryStrategy/limit", "templates.trainer.retryStrategy.limit: missing"),
        ("templates/trainer/inputs", "{{inputs.parameters.max-steps}} is not known here"),
        ("templates/trainer/inputs/parameters/max-steps", "template trainer does not declare it"),
        ("templates/trainer/outputs", "artifacts.mlpipeline-ui-metadata.path: found none"),
        ("templates/trainer/outputs/artifacts/mlpipeline-ui-metadata/path", "found None, expected"),
        ("templates/trainer", "tasks.trainer.template: no template trainer; did you mean"),
        ("templates/king-county", "spec.entrypoint: no template king-county"),
        ("templates/king-county/dag/tasks", "templates.king-county.dag.tasks: missing"),
        (f"{TASKS}/trainer", "no task trainer; did you mean"),
        (f"{TASKS}/pusher", "templates.pusher: nothing calls it"),
        (f"{TASKS}/trainer/name", "tasks[9].name: missing"),
        (f"{TASKS}/trainer/template", "tasks.trainer: found none, expected one of template"),
        (f"{TASKS}/trainer/dependencies", "found none, expected CuratedSchema, Transform"),
        (f"{TASKS}/trainer/arguments", "max-steps is missing; template trainer needs it"),
        (f"{TASKS}/trainer/arguments/parameters/max-steps/value", "max-steps: found no value"),
        ("spec/arguments", "spec.arguments.parameters: gates is missing; template king-county"),
        ("spec/arguments/parameters/gates/value", "spec.arguments.parameters.gates: found no val"),
    ],
)
def test_a_missing_key_is_refused(path, message, workflow):
    drop(workflow, path)
    assert_refused(workflow, message)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # Types that a cluster expects.
        ("spec/templates", {}, "templates: found {} (dict), expected a list"),
        ("metadata/generateName", 7, "metadata.generateName: found 7 (int), expected text; put it"),
        (TRAINER, "x", "templates.trainer.container: found 'x' (str), expected keys and values"),
        (f"{TRAINER}/image", 1.0, "container.image: found 1.0 (float), expected text"),
        (f"{TRAINER}/args/0", 3, "templates.trainer.container.args[0]: found 3 (int)"),
        (f"{TRAINER}/args", "--tfx_ir", "args: found '--tfx_ir' (str), expected a list"),
        (f"{TRAINER}/env/PYTHONPATH/value", 1, "env.PYTHONPATH.value: found 1 (int), expected tex"),
        (f"{TRAINER}/env/PYTHONPATH/value", True, "found true (bool), expected text; put it in"),
        (f"{TRAINER}/resources/limits/memory", True, "limits.memory: found true (bool), expected"),
        (f"{TRAINER}/tty", "yes", "container.tty: found 'yes' (str), expected true or false"),
        ("spec/securityContext/runAsUser", "1000", "runAsUser: found '1000' (str), expected a wh"),
        ("spec/securityContext/runAsUser", 1000.0, "runAsUser: found 1000.0 (float), expected"),
        ("spec/securityContext/runAsUser", True, "runAsUser: found true (bool), expected a whole"),
        ("spec/securityContext/runAsUser", -1, "runAsUser: found -1, expected at least 0"),
        ("spec/securityContext/runAsNonRoot", "true", "runAsNonRoot: found 'true' (str)"),
        ("spec/arguments/parameters/max-steps/value", 1500, "max-steps.value: found 1500 (int)"),
        ("spec/activeDeadlineSeconds", 0, "spec.activeDeadlineSeconds: found 0, expected at least"),
        ("templates/trainer/retryStrategy/limit", [2], "limit: found [2] (list), expected a whole"),
        ("templates/trainer/retryStrategy/backoff/factor", 1.5, "factor: found 1.5 (float), exp"),
        ("templates/trainer/retryStrategy/backoff/duration", 30, "duration: found 30 (int)"),
        ("templates/trainer/metadata/labels/team", 5, "metadata.labels.team: found 5 (int)"),
        (f"{TASKS}/trainer/dependencies", "transform", "dependencies: found 'transform' (str)"),
        ("templates/trainer/metadata/labels", "x", "labels: found 'x' (str), expected keys and"),
        (f"{TRAINER}/ports", [{"containerPort": 70000}], "containerPort: found 70000, expected at"),
        ("metadata/managedFields", [], "managedFields: found [], expected none: the cluster"),
        (
            "metadata/ownerReferences",
            [{"apiVersion": "v1", "kind": "Pod", "name": "x"}],
            "metadata.ownerReferences.x.uid: missing",
        ),
        # Forms, and values that are one of several.
        ("apiVersion", "argoproj.io/v1", "apiVersion: found 'argoproj.io/v1', expected one of"),
        ("status", {}, "status: found {}, expected none: the cluster writes it"),
        ("metadata/resourceVersion", "1", "resourceVersion: found '1', expected none"),
        ("metadata/generateName", "King_County-", "generateName: found 'King_County-', expected"),
        ("metadata/generateName", "a" * 59, "expected the beginning of a name: at most 58"),
        ("metadata/name", "a" * 64, "metadata.name: found 'aaaa"),
        ("metadata/labels", {"-bad": "x"}, "metadata.labels: found '-bad', expected a label's key"),
        ("metadata/annotations", {"a/b/c": ""}, "metadata.annotations: found 'a/b/c'"),
        ("templates/trainer/metadata/labels/team", "a b", "labels.team: found 'a b', expected at"),
        ("templates/trainer/nodeSelector", {"disk": "s s"}, "nodeSelector.disk: found 's s'"),
        (f"{TRAINER}/image", "registry.example.com/a", "expected a tag or digest"),
        (f"{TRAINER}/image", "a:latest", "container.image: found the tag latest"),
        (f"{TRAINER}/image", "A:1", "container.image: found 'A:1', expected an image"),
        (f"{TRAINER}/image", "a@sha256:12", "found 'a@sha256:12', expected an image"),
        (f"{TRAINER}/imagePullPolicy", "Sometimes", "expected one of Always, IfNotPresent, Never"),
        (f"{TRAINER}/workingDir", "app", "container.workingDir: found 'app', expected an abs"),
        (f"{TRAINER}/env/PYTHONPATH/name", "PYTHON PATH", "found 'PYTHON PATH', expected a var"),
        (f"{TRAINER}/env/PYTHONPATH/name", "WORKFLOW_ID", "env: WORKFLOW_ID occurs 2 times"),
        (f"{TRAINER}/env/WORKFLOW_ID/value", "x", "WORKFLOW_ID: found both value and valueFrom"),
        (f"{TRAINER}/env/WORKFLOW_ID/valueFrom", {}, "valueFrom: found no source, expected exac"),
        (
            f"{TRAINER}/env/WORKFLOW_ID/valueFrom/fieldRef/fieldPath",
            "metadata.labels['workflows.argoproj.io/workflw']",
            "the label workflows.argoproj.io/workflw, which the pod does not have",
        ),
        (
            f"{TRAINER}/env/WORKFLOW_ID/valueFrom/fieldRef/fieldPath",
            "metadata.uuid",
            "fieldPath: found metadata.uuid, expected metadata.name",
        ),
        (f"{TRAINER}/envFrom/0", {"prefix": "A_"}, "envFrom[0]: found no source"),
        (f"{TRAINER}/envFrom/0/configMapRef/name", "Config", "configMapRef.name: found 'Config'"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "mnt", "found 'mnt', expected an absolute"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "/a/../b", "an absolute path without .."),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "/", "which hides the image"),
        (f"{TRAINER}/volumeMounts/pipelines/subPath", "../x", "subPath: found '../x', expected"),
        (f"{TRAINER}/volumeMounts/pipelines/name", "other", "no such volume in this template or"),
        ("templates/trainer/volumes/pipelines/name", "Pipe", "found 'Pipe', expected at most 63"),
        ("templates/trainer/volumes/pipelines/emptyDir", {}, "persistentVolumeClaim, emptyDir"),
        (
            "templates/trainer/volumes/pipelines/persistentVolumeClaim/claimName",
            "My_Claim",
            "persistentVolumeClaim.claimName: found 'My_Claim', expected an object's name",
        ),
        ("spec/volumes", [{"name": "idle", "emptyDir": {}}], "spec.volumes.idle: no container"),
        ("spec/serviceAccountName", "Me", "spec.serviceAccountName: found 'Me', expected"),
        ("spec/imagePullSecrets", [{"name": "A_b"}], "imagePullSecrets[0].name: found 'A_b'"),
        ("spec/imagePullSecrets", [{}], "spec.imagePullSecrets[0].name: missing"),
        (f"{TRAINER}/resources/requests/memory", "9Gi", "memory: found 9Gi, above the limit of 8G"),
        (f"{TRAINER}/resources/limits/cpu", "1500m", "requests.cpu: found 2, above the limit"),
        (f"{TRAINER}/resources/limits/memory", "8GB", "limits.memory: found '8GB', expected an am"),
        (f"{TRAINER}/resources/limits/memory", "8", "found 8, less than a mebibyte"),
        (f"{TRAINER}/resources/limits/memroy", "8Gi", "limits.memroy: unknown resource"),
        (f"{TRAINER}/resources/limits/nvidia.com~gpu", "0.5", "a whole number of devices"),
        (
            f"{TRAINER}/resources/requests/nvidia.com~gpu",
            1,
            "limits.nvidia.com/gpu: found None, expected the request, 1",
        ),
        (
            "templates/trainer/volumes/pipelines/hostPath",
            {"path": "data"},
            "hostPath.path: found 'data', expected an absolute path",
        ),
        (f"{TRAINER}/resources/limits/gpus", "1", "gpus: unknown resource"),
        ("templates/trainer/retryStrategy/limit", "many", "limit: found 'many', expected a whole"),
        ("templates/trainer/retryStrategy/limit", -1, "limit: found -1, expected"),
        ("templates/trainer/retryStrategy/retryPolicy", "Never", "expected one of Always, OnFail"),
        ("templates/trainer/retryStrategy/backoff/duration", "half", "duration: found 'half'"),
        ("templates/trainer/retryStrategy/backoff/factor", 0, "factor: found 0, expected a whole"),
        ("templates/trainer/timeout", "30", "timeout: found '30', expected a time such as 30s"),
        ("templates/trainer/parallelism", 1, "trainer.parallelism: found in a template of kind c"),
        ("templates/king-county/timeout", "1h", "king-county.timeout: found in a template of kin"),
        # Calls.
        ("spec/entrypoint", "king-conty", "no template king-conty; did you mean king-county?"),
        ("spec/entrypoint", "trainer", "templates.king-county: nothing calls it"),
        ("spec/onExit", "cleanup", "spec.onExit: no template cleanup"),
        ("spec/hooks", {"exit": {"template": "tel"}}, "spec.hooks.exit.template: no template tel"),
        (f"{TASKS}/trainer/hooks", {"x": {"template": "y"}}, "hooks.x.template: no template y"),
        ("templates/trainer/name", "transform", "templates: transform occurs 2 times"),
        ("templates/trainer/name", "train er", "found 'train er', expected at most 128"),
        ("templates/trainer/suspend", {}, "found container and suspend, expected exactly one"),
        (f"{TASKS}/trainer/name", "transform", "dag.tasks: transform occurs 2 times"),
        (f"{TASKS}/trainer/name", "1trainer", "found '1trainer', expected letters, digits and -"),
        (f"{TASKS}/trainer/template", "trainr", "no template trainr; did you mean trainer?"),
        (f"{TASKS}/trainer/template", "transform", "transform does not declare it"),
        (f"{TASKS}/trainer/template", "king-county", "king-county: calls itself"),
        (
            f"{TASKS}/trainer/templateRef",
            {"name": "a", "template": "b"},
            "template and templateRef",
        ),
        (f"{TASKS}/trainer/inline", {"suspend": {}}, "found template and inline, expected one of"),
        (f"{TASKS}/trainer/depends", "transform", "found both depends and dependencies"),
        (f"{TASKS}/trainer/dependencies", ["transfrom"], "no task transfrom; did you mean transf"),
        (f"{TASKS}/trainer/dependencies", ["trainer"], "wait for each other, so none ever starts"),
        (f"{TASKS}/tableexamplegen/dependencies", ["pusher"], "trainer, transform wait for each"),
        (f"{TASKS}/trainer/dependencies", ["transform"], "found Transform, expected CuratedSchema"),
        (
            f"{TASKS}/trainer/dependencies",
            ["curatedschema", "datagate", "transform"],
            "found CuratedSchema, DataGate, Transform, expected CuratedSchema, Transform",
        ),
        ("templates/king-county/dag/tasks", [], "dag.tasks: found none, expected at least one"),
        ("templates/king-county/dag/target", "pushr", "dag.target: no task pushr; did you mean"),
        # Variables.
        (
            f"{TRAINER}/env/PYTHONPATH/value",
            "{{inputs.parameters.gates}}",
            "env.PYTHONPATH.value: {{inputs.parameters.gates}} is not known here",
        ),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{workflow.nam}}", "did you mean workflow.name?"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{workflow.parameters.gate}}", "workflow.parameters"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{workflow.status}}", "{{workflow.status}} is not"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{item}}", "{{item}} is not known here"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{tasks.a.status}}", "{{tasks.a.status}} is not"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{=1+1}}", "found an expression, {{=1+1}}"),
        (f"{TRAINER}/env/PYTHONPATH/value", "{{workflow.name", "found {{ without }}"),
        (
            f"{TASKS}/trainer/arguments/parameters/max-steps/value",
            "{{tasks.transform.outputs.parameters.steps}}",
            "{{tasks.transform.outputs.parameters.steps}} is not known here",
        ),
        (
            f"{TASKS}/trainer/arguments/parameters/max-steps/value",
            "{{tasks.pusher.outputs.result}}",
            "tasks.trainer.arguments.parameters.max-steps.value: {{tasks.pusher.outputs.result}}",
        ),
        (
            f"{TASKS}/trainer/arguments/parameters/max-steps/value",
            "{{inputs.parameters.gates}}",
            "found '{{inputs.parameters.gates}}', expected {{inputs.parameters.max-steps}}",
        ),
        ("spec/arguments/parameters/gates/value", "{{inputs.parameters.x}}", "gates.value: {{inp"),
        # Arguments of steps.
        (f"{TRAINER}/command", ["python", "-m", "step"], "command: found python -m step"),
        (f"{TRAINER}/args/--node_id", "Trainr", "found nodes Trainer, expected Trainr (--node_id"),
        (f"{TRAINER}/args/--tfx_ir", "{", "args --tfx_ir: not a tfx.orchestration.Pipeline in JSO"),
        (f"{TRAINER}/args/--tfx_ir", "{}", "found nodes none, expected Trainer"),
        (f"{TRAINER}/args/--tfx_ir", '{"nods": []}', 'has no field named "nods"'),
        (f"{TRAINER}/args/--kubeflow_metadata_config", "{a}", "--kubeflow_metadata_config: not a"),
        (f"{TRAINER}/args/--pipeline_root", "gs://x", "--pipeline_root: found 'gs://x', expected"),
        (f"{TRAINER}/args/--metadata_ui_path", "/x.json", "what --metadata_ui_path says, /x.json"),
        (f"{TRAINER}/args/0", "--pipeline_rot", "arguments are required: --pipeline_root"),
        (f"{TRAINER}/args/--runtime_parameter", "gates", "expected NAME=INT|DOUBLE|STRING:VALUE"),
        (
            f"{TRAINER}/args/--runtime_parameter",
            "training-root=INT:{{inputs.parameters.training-root}}",
            "training-root: found type INT, expected STRING as in the IR",
        ),
        (
            f"{TRAINER}/args/--runtime_parameter",
            "training-root=STRING:{{inputs.parameters.pipeline-root}}",
            "expected {{inputs.parameters.training-root}}",
        ),
        (
            f"{TRAINER}/args/--runtime_parameter",
            "other=STRING:x",
            "other is passed, but node Trainer does not use it",
        ),
        (
            f"{TRAINER}/args/--runtime_parameter",
            "other=STRING:x",
            "training-root is missing; node Trainer uses it",
        ),
        (
            f"{TRAINER}/args/--runtime_parameter",
            "max-steps=INT:1",
            "max-steps occurs twice, expected once",
        ),
        (
            "spec/arguments/parameters/max-steps/value",
            "many",
            "found 'many', expected INT for node",
        ),
    ],
)
def test_a_wrong_value_is_refused(path, value, message, workflow):
    put(workflow, path, value)
    assert_refused(workflow, message)


@pytest.mark.parametrize(
    ("path", "item", "message"),
    [
        (f"{TRAINER}/volumeMounts", {"name": "pipelines", "mountPath": "/mnt/pipelines/"}, "twice"),
        ("templates/trainer/volumes", {"name": "pipelines", "emptyDir": {}}, "pipelines occurs 2"),
        ("templates/trainer/volumes", {"name": "idle", "emptyDir": {}}, "idle: no container mou"),
        ("templates/trainer/inputs/parameters", {"name": "gates"}, "gates is missing; template tr"),
        ("templates/trainer/inputs/parameters", {"name": "max-steps"}, "max-steps occurs 2 times"),
        ("templates/trainer/outputs/artifacts", {"name": "x"}, "x.path: found None, expected"),
        (
            "templates/trainer/outputs/artifacts",
            {"name": "x", "path": "/tmp/outputs/Trainer/mlpipeline-ui-metadata.json"},
            "outputs.artifacts: path: /tmp/outputs",
        ),
        ("templates/trainer/outputs/parameters", {"name": "x"}, "found no value or valueFrom"),
        ("spec/templates", {"name": "idle", "suspend": {}}, "templates.idle: nothing calls it"),
        (f"{TASKS}/trainer/arguments/parameters", {"name": "x", "value": "1"}, "not declare it"),
        (f"{TASKS}/trainer/dependencies", "transform", "dependencies: transform occurs 2 times"),
        ("spec/arguments/parameters", {"name": "x", "value": "1"}, "x: nothing reads it"),
        ("spec/arguments/parameters", {"name": "x y", "value": "1"}, "found 'x y', expected"),
        (
            "spec/arguments/parameters",
            {"name": "x", "value": "1", "enum": ["2"]},
            "x.value: found '1', expected one of its enum",
        ),
        (f"{TRAINER}/args", "--dry_run", "container.args: unrecognized arguments: --dry_run"),
        (f"{TRAINER}/env", {"name": "DB_PASSWORD", "value": "x"}, "DB_PASSWORD: found a plain"),
        (f"{TRAINER}/env", {"name": "API_KEY", "value": "x"}, "API_KEY: found a plain value"),
        (f"{TRAINER}/env", {"name": "hf_token"}, "env.hf_token: found a plain value"),
        (
            f"{TRAINER}/env",
            {
                "name": "AWS_SECRET_ACCESS_KEY",
                "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}},
            },
            "AWS_SECRET_ACCESS_KEY: found a plain value under a secret's name",
        ),
        (
            f"{TRAINER}/env",
            {"name": "A", "valueFrom": {"secretKeyRef": {"key": "b"}}},
            "env.A.valueFrom.secretKeyRef.name: missing",
        ),
    ],
)
def test_a_superfluous_entry_is_refused(path, item, message, workflow):
    add(workflow, path, item)
    if message == "twice":
        message = "volumeMounts: mountPath: /mnt/pipelines occurs 2 times"
    assert_refused(workflow, message)


def node_input(node):
    return node["inputs"]["inputs"]["examples"]["channels"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: node["upstreamNodes"].append("Pusher"), "expected CuratedSchema, Pusher, Tr"),
        (lambda node: node["upstreamNodes"].remove("Transform"), "not among its upstream nodes"),
        (lambda node: node.pop("upstreamNodes"), "expected none, the upstream nodes of Trainer"),
        (lambda node: node["nodeInfo"].update(id="Tuner"), "found nodes Tuner, expected Trainer"),
        (lambda node: node_input(node).update(outputKey="exampels"), "Transform has no output exa"),
        (
            lambda node: node["parameters"]["parameters"].pop("training_root"),
            "training-root is passed, but node Trainer does not use it",
        ),
        (
            lambda node: node["parameters"]["parameters"]["max_steps"]["runtimeParameter"].update(
                type="DOUBLE"
            ),
            "max-steps: found type INT, expected DOUBLE as in the IR",
        ),
    ],
)
def test_a_node_that_disagrees_with_its_task_is_refused(change, message, workflow):
    ir_node(workflow, "trainer", change)
    assert_refused(workflow, message)


def executor(content):
    return content["deploymentConfig"]["executorSpecs"]["Trainer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["nodes"].append(content["nodes"][0]), "found nodes Trainer, Tra"),
        (lambda content: content["pipelineInfo"].update(id="x"), "pipelines king_county, x, exp"),
        (lambda content: content.pop("deploymentConfig"), "no executor for node Trainer"),
        (
            lambda content: executor(content).update(classPath="components.trayner.Executor"),
            "names components.trayner.Executor: no module components.trayner",
        ),
        (
            lambda content: executor(content).update(classPath="components.trainer.executor.Run"),
            "module components.trainer.executor has no Run",
        ),
        (
            lambda content: content["deploymentConfig"]["executorSpecs"].update(
                Tuner=executor(content)
            ),
            "executorSpecs is of Tuner, expected Trainer",
        ),
    ],
)
def test_a_broken_ir_is_refused(change, message, workflow):
    ir(workflow, "trainer", change)
    assert_refused(workflow, "templates", message)


def test_two_templates_of_one_node_are_refused(workflow):
    trainer = get(workflow, "templates/trainer")
    put(workflow, "templates/transform", {**trainer, "name": "transform"})
    assert_refused(workflow, "templates: --node_id: Trainer occurs 2 times")


def test_a_missing_driver_is_refused(workflow):
    path = "templates/baseline/container/args/--tfx_ir"
    text = get(workflow, path)
    put(workflow, path, text.replace("baseline.driver.Driver", "baseline.driver.Drover"))
    assert_refused(
        workflow, "customDriverSpecs of Baseline names components.baseline.driver.Drover: module"
    )


def test_a_workflow_without_steps_is_refused(workflow):
    put(workflow, "spec/templates", [{"name": "king-county", "suspend": {}}])
    assert_refused(workflow, "templates: none runs a step of the pipeline")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{REPOSITORY}/data/houses.csv", "the project's checkout"),
        (f"{pathlib.Path.home()}/houses", "home directory"),
        ("/home/ann/houses.csv", "a home directory"),
        ("PATH=/Users/ann/bin", "a home directory"),
        ("/root/x", "home directory"),
        (f"{tempfile.gettempdir()}/tmpabc/model", "a temporary directory"),
        ("file:///mnt/x", "a file of this machine"),
        (json.dumps({"a": "x\n/home/ann"}), "a home directory"),
    ],
)
@pytest.mark.parametrize(
    "location",
    [
        f"{TRAINER}/env/PYTHONPATH/value",
        "spec/arguments/parameters/data-directory/value",
        "metadata/annotations/note",
        "problem in the IR",
    ],
)
def test_a_local_path_is_refused(path, message, location, workflow):
    if location == "problem in the IR":
        parameters = {"fieldValue": {"stringValue": json.dumps({"folder": path})}}
        ir_node(
            workflow,
            "trainer",
            lambda node: node["parameters"]["parameters"].update(problem=parameters),
        )
        assert_refused(workflow, "templates.trainer.container.args[", message)
    else:
        put(workflow, location, path)
        assert_refused(workflow, location.split("/")[-2], message, "the cluster does not have")


@pytest.mark.parametrize(
    "path",
    ["gs://bucket/home/x", "/mnt/root/x", "data/home/x", "/tmp/outputs/x", "s3://b/tmp/Users/x"],
)
def test_a_path_that_only_looks_local_passes(path, workflow):
    put_in_every_step(workflow, "env/PYTHONPATH/value", path)
    assert lint.findings(workflow) == []


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "a PEM block"),
        ("AKIA" + "A1" * 8, "an AWS key"),
        ('{"type": "service_account", "project_id": "x"}', "a service account key"),
        (json.dumps(json.dumps({"private_key": "x"})), "a service account key"),
        ("Bearer eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "a JSON web token"),
        ("mysql://ann:pass@db.example.com/houses", "a user's password"),
        ("ghp_" + "a" * 36, "a GitHub token"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(secret, message, workflow):
    put(workflow, f"{TRAINER}/args/--pipeline_root", secret)
    assert_refused(workflow, "templates.trainer.container.args[1]", message)
    hidden = secret.splitlines()[-1][-8:]
    lines = [line for line in lint.findings(workflow) if "reference to a secret" in line]
    assert all(hidden not in line for line in lines)


def test_an_argument_too_long_for_linux_is_refused(workflow):
    put(workflow, "spec/arguments/parameters/gates/value", "x" * (2**17 - 1))
    assert lint.findings(workflow) == []
    put(workflow, "spec/arguments/parameters/gates/value", "x" * 2**17)
    assert_refused(workflow, "gates.value: found 131,072 bytes, expected less than 131,072")


def test_a_workflow_too_large_for_the_store_is_refused(workflow):
    for index in range(9):
        put(workflow, f"metadata/annotations/n{index}", "x" * 120_000)
    assert_refused(workflow, "workflow: found 1,1", "bytes as JSON, expected less than 1,048,576")


def test_other_features_of_argo_pass(workflow):
    """The workflow has hooks, variables and forms that the current compiler does not write."""
    put(workflow, "metadata/labels/team", "houses")
    put(workflow, "spec/onExit", "tell")
    put(workflow, "spec/hooks", {"exit": {"template": "tell"}})
    put(workflow, "spec/podGC", {"strategy": "OnPodSuccess"})
    put(workflow, "spec/priority", -5)
    put(workflow, "spec/volumes", [{"name": "shared", "emptyDir": {"sizeLimit": "1Gi"}}])
    text = (
        "{{workflow.status}} {{ workflow.name }} {{workflow.parameters.gates}} {{pod.name}} "
        "{{workflow.labels.team}} {{workflow.creationTimestamp.Y}} {{inputs.parameters.who}}"
    )
    put(workflow, "templates/trainer/outputs/parameters", [])
    add(
        workflow,
        "templates/trainer/outputs/parameters",
        {"name": "loss", "valueFrom": {"path": "/tmp/outputs/Trainer/loss"}},
    )
    add(
        workflow,
        "spec/templates",
        {
            "name": "tell",
            "inputs": {"parameters": [{"name": "who", "default": "nobody"}]},
            "retryStrategy": {"limit": "2", "backoff": {"duration": "1m30s"}},
            "container": {
                "image": "localhost:5000/tell:1",
                "args": [text, "{{retries}}", "{{workflow.creationTimestamp}}"],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared", "subPath": "a"}],
                "resources": {"limits": {"nvidia.com/gpu": 1, "cpu": 0.5, "memory": "1e9"}},
                "env": [
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
                    {"name": "KEY_FILE", "value": "/shared/key"},
                    {"name": "MONKEY", "value": "x"},
                ],
            },
        },
    )
    add(
        workflow,
        "spec/templates",
        {
            "name": "more",
            "inputs": {"parameters": [{"name": "loss"}]},
            "steps": [
                [
                    {
                        "name": "a",
                        "template": "tell",
                        "withItems": [{"x": "1"}],
                        "arguments": {"parameters": [{"name": "who", "value": "{{item.x}}"}]},
                    }
                ],
                [{"name": "b", "template": "tell", "when": "{{steps.a.status}} == Succeeded"}],
            ],
        },
    )
    add(
        workflow,
        TASKS,
        {
            "name": "more",
            "template": "more",
            "dependencies": ["evaluator"],
            "arguments": {
                "parameters": [
                    {"name": "loss", "value": "{{tasks.trainer.outputs.parameters.loss}}"}
                ]
            },
        },
    )
    assert lint.findings(workflow) == []


def test_the_class_of_a_function_component_exists():
    assert class_lookup.missing("pipeline.kubeflow.rules.lint.check_Executor") == ""
    assert class_lookup.missing("pipeline.kubeflow.rules.lint.chek_Executor").endswith(
        "no chek_Executor"
    )
    assert class_lookup.missing("models.errors.more.X") == "no module models.errors.more"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # Steps that do not see the same files and variables as the others.
        (f"{TRAINER}/image", "registry.example.com/king-county:2", "image: differs from the other"),
        (f"{TRAINER}/env/PYTHONPATH/value", ".", "container.env: differs from the other steps'"),
        (f"{TRAINER}/envFrom/0/configMapRef/name", "other", "container.envFrom: differs from"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "/mnt/other", "volumeMounts: differs"),
        (f"{TRAINER}/volumeMounts/pipelines/readOnly", True, "container.volumeMounts: differs"),
        (
            "templates/trainer/volumes/pipelines/persistentVolumeClaim/claimName",
            "other",
            "templates.trainer.volumes: differs from the other steps'",
        ),
        (
            "templates/trainer/volumes/pipelines/persistentVolumeClaim",
            None,
            "templates.trainer.volumes.pipelines: found sources none",
        ),
        # Directories that are lost with the container.
        ("spec/arguments/parameters/pipeline-root/value", "artifacts", "is on none of the volumes"),
        ("spec/arguments/parameters/training-root/value", "/var/x", "none of the volumes (/mnt/p"),
        ("spec/arguments/parameters/data-directory/value", "/data", "found '/data', which is on"),
        ("spec/arguments/parameters/serving-directory/value", None, "serving-directory: found no"),
        # Nodes that would not run as the pipeline defines.
        (f"{TASKS}/pusher/when", "false", "tasks.pusher.when: found 'false', expected a node to"),
        (f"{TASKS}/evaluator/continueOn", {"failed": True}, "tasks.evaluator.continueOn: found"),
        (f"{TASKS}/pusher/withItems", [1, 2], "tasks.pusher.withItems: found [1, 2]"),
        ("templates/trainer/daemon", True, "templates.trainer.daemon: found true"),
        ("spec/suspend", True, "spec.suspend: found True, so nothing would run"),
        ("spec/shutdown", "Stop", "spec.shutdown: found Stop, so nothing would run"),
        (
            "templates/trainer/metadata/labels/pipelines.kubeflow.org~enable_caching",
            "true",
            "labels.pipelines.kubeflow.org/enable_caching: expected 'false'",
        ),
        (
            "metadata/annotations/pipelines.kubeflow.org~pipeline_spec",
            '{"inputs": [{"name": "gates"}]}',
            "pipeline_spec: expected JSON with the inputs data-directory, gates,",
        ),
        ("metadata/annotations/pipelines.kubeflow.org~pipeline_spec", "[]", "expected JSON with"),
        # Conflicts with what the platform does to a container.
        (f"{TRAINER}/securityContext", {"runAsUser": 0}, "runAsNonRoot with runAsUser 0"),
        (f"{TRAINER}/args/--pipeline_root", "$(PYTHONPATH)", "found $(PYTHONPATH), which Kubernet"),
        (f"{TRAINER}/args/--pipeline_root", "a$$b", "args[1]: found $$, which Kubernetes repla"),
        (f"{TRAINER}/volumeMounts/pipelines/mountPath", "/var/run/argo", "where the platform moun"),
        ("templates/trainer/podSpecPatch", "a: [", "podSpecPatch: found 'a: [', expected keys and"),
        (f"{TRAINER}/args/--tfx_ir", "1", "not a tfx.orchestration.Pipeline in JSON"),
    ],
)
def test_valid_settings_on_which_a_run_would_fail_are_refused(path, value, message, workflow):
    put(workflow, path, value)
    assert_refused(workflow, message)


def test_a_step_without_the_metadata_address_is_refused(workflow):
    for template in get(workflow, "spec/templates"):
        if "container" in template:
            del template["container"]["envFrom"]
    assert_refused(workflow, "env.METADATA_GRPC_SERVICE_HOST: missing; --kubeflow_metadata_config")


def test_a_step_without_pythonpath_is_refused(workflow):
    put_in_every_step(workflow, "env/PYTHONPATH/value", "")
    assert_refused(workflow, "templates.trainer.container.env.PYTHONPATH: missing")


@pytest.mark.parametrize(
    ("depends", "message"),
    [
        ("curatedschema && transform.Succeeded", None),
        ("transform", "found Transform, expected CuratedSchema, Transform"),
        ("curatedschema || transform", "depends: expected names joined by &&"),
        ("curatedschema && transform.Failed", "depends: expected names joined by &&"),
        ("curatedschema && transfrom", "no task transfrom; did you mean transform?"),
    ],
)
def test_dependencies_may_be_an_expression(depends, message, workflow):
    for task in get(workflow, TASKS):
        task["depends"] = " && ".join(task.pop("dependencies", ()))
    put(workflow, f"{TASKS}/trainer/depends", depends)
    if message:
        assert_refused(workflow, message)
    else:
        assert lint.findings(workflow) == []


# Mappings with free keys, which the schema does not define.
FREE = {"labels", "annotations", "nodeSelector", "requests", "limits"}
KEYS = """
apiVersion arguments args claimName command configMapRef container dag dependencies entrypoint
env fieldPath fieldRef generateName image inputs kind limit metadata mountPath name parameters
path persistentVolumeClaim spec tasks template templates valueFrom volumeMounts volumes
"""
REQUIRED = set(KEYS.split())


def mappings(tree, key=""):
    """Yields every mapping whose keys the schema defines, with its own key."""
    if isinstance(tree, list):
        for item in tree:
            yield from mappings(item, key)
    elif isinstance(tree, dict) and key not in FREE:
        yield tree, key
        for name, item in tree.items():
            yield from mappings(item, name)


def required_keys(workflow):
    """Yields every required key as its mapping, the key of that, and its name."""
    for tree, key in mappings(workflow):
        for name in tree:
            # A pod need not have labels of its own.
            if name in REQUIRED and (key, name) != ("templates", "metadata"):
                yield tree, key, name


def test_no_required_key_can_be_missing(genuine):
    """Each key is taken from the first mapping of its kind."""
    for wanted in dict.fromkeys((key, name) for _, key, name in required_keys(genuine)):
        workflow = copy.deepcopy(genuine)
        tree, _, name = next(place for place in required_keys(workflow) if place[1:] == wanted)
        del tree[name]
        assert lint.findings(workflow), wanted


@pytest.mark.slow
@examples(150)
@given(data=st.data())
def test_no_required_key_can_be_missing_anywhere(genuine, data):
    workflow = copy.deepcopy(genuine)
    tree, _, name = data.draw(st.sampled_from(list(required_keys(workflow))))
    del tree[name]
    assert lint.findings(workflow)


def test_no_unknown_key_is_accepted(genuine):
    """Every kind of mapping has one; the findings name them all."""
    workflow = copy.deepcopy(genuine)
    by_key = {key: tree for tree, key in mappings(workflow)}
    for key, tree in by_key.items():
        tree[f"odd{key}"] = "x"
    for key in by_key:
        assert_refused(workflow, f"odd{key}")


@pytest.mark.slow
@examples(150)
@given(data=st.data(), name=st.from_regex(r"[a-z][A-Za-z]{2,12}", fullmatch=True))
def test_no_unknown_key_is_accepted_anywhere(genuine, data, name):
    known = {key for tree, _ in mappings(genuine) for key in tree}
    assume(name not in known)
    workflow = copy.deepcopy(genuine)
    tree, _ = data.draw(st.sampled_from(list(mappings(workflow))))
    tree[name] = data.draw(st.sampled_from(["x", 1, None, {}, []]))
    assert_refused(workflow, name)
