"""Tests of a pipeline with a TFJob: compiled, checked, and broken in every way."""

import copy
import json

import pytest
import yaml
from test_compiler import EVERYTHING, KING_COUNTY, step

from models.errors import UserError
from pipeline.kubeflow.compile import compiler as compile_lib
from pipeline.kubeflow.rules import lint
from pipeline.kubeflow.step_container import TFJOB_FLAG
from tests.helpers import cluster_config

CLUSTER = "train.cluster={workers: 2, max_restarts: 4}"
TFJOB_ASKED = "kubeflow.tfjob={worker: {cpu: 4, memory: 16Gi, gpu: 1}, ps: {cpu_limit: 2}}"


def compiled(folder, *settings):
    return compile_lib.compile_all(*cluster_config.load(KING_COUNTY, settings), folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("compiled"), CLUSTER, TFJOB_ASKED, *EVERYTHING)


@pytest.fixture(scope="module")
def genuine(files):
    return yaml.safe_load(files.files[0].read_text())


@pytest.fixture
def workflow(genuine):
    return copy.deepcopy(genuine)


def index_of_the_job(workflow):
    args = step(workflow, "trainer")["container"]["args"]
    return args, args.index(TFJOB_FLAG) + 1


def the_job(workflow):
    args, index = index_of_the_job(workflow)
    return json.loads(args[index])


def replicas(workflow):
    return the_job(workflow)["spec"]["tfReplicaSpecs"]


def container(job, kind):
    (found,) = job["spec"]["tfReplicaSpecs"][kind]["template"]["spec"]["containers"]
    return found


def test_the_check_passes_the_compiled_job(files):
    assert lint.check(files.files[0]) == []


@pytest.mark.parametrize("cluster", ["workers: 1", "workers: 3, evaluator: false"])
def test_the_check_passes_a_minimal_job(tmp_path, cluster):
    found = compiled(tmp_path, f"train.cluster={{{cluster}}}", "kubeflow.tfjob={}")
    assert lint.check(found.files[0]) == []


def test_each_task_of_the_cluster_is_a_replica(genuine):
    found = {kind: replica["replicas"] for kind, replica in replicas(genuine).items()}
    assert found == {"Chief": 1, "Worker": 2, "PS": 1, "Evaluator": 1}


def test_only_the_trainer_has_a_job(genuine):
    having = [
        template["name"]
        for template in genuine["spec"]["templates"]
        if TFJOB_FLAG in template.get("container", {}).get("args", ())
    ]
    assert having == ["trainer"]


def test_only_the_trainer_has_the_name_of_its_pod(genuine):
    variable = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    having = [
        template["name"]
        for template in genuine["spec"]["templates"]
        if variable in template.get("container", {}).get("env", ())
    ]
    assert having == ["trainer"]
    assert "POD_NAME" not in json.dumps(the_job(genuine))


def test_a_trainer_without_the_name_of_its_pod_is_refused(workflow):
    step(workflow, "trainer")["container"]["env"].pop()
    assert any("variable POD_NAME to be metadata.name" in line for line in lint.findings(workflow))


def test_the_pod_of_a_task_is_like_the_steps(genuine):
    trainer = step(genuine, "trainer")
    for kind, replica in replicas(genuine).items():
        found, pod = container(the_job(genuine), kind), replica["template"]["spec"]
        assert found["image"] == trainer["container"]["image"]
        assert found["volumeMounts"] == trainer["container"]["volumeMounts"]
        variables = {variable["name"]: variable for variable in found["env"]}
        assert set(variables) == {"PYTHONPATH", "STAGE", "DB_PASSWORD"}
        assert "secretKeyRef" in variables["DB_PASSWORD"]["valueFrom"]
        assert pod["volumes"] == trainer["volumes"]
        assert pod["nodeSelector"] == {"pool": "ml"}
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["serviceAccountName"] == "runner"
        assert pod["securityContext"] == genuine["spec"]["securityContext"]
        assert replica["template"]["metadata"]["labels"] == {"team": "pricing"}


def test_a_task_gets_its_own_resources_or_the_steps(genuine):
    job = the_job(genuine)
    assert container(job, "Worker")["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": "1"},
    }
    assert container(job, "PS")["resources"] == {"limits": {"cpu": "2"}}
    resources = step(genuine, "trainer")["container"]["resources"]
    assert container(job, "Chief")["resources"] == resources


def test_without_the_section_there_is_no_job(tmp_path):
    text = compiled(tmp_path, CLUSTER).files[0].read_text()
    assert TFJOB_FLAG not in text


def test_a_job_without_a_cluster_is_refused(tmp_path):
    with pytest.raises(UserError) as error:
        compiled(tmp_path, "kubeflow.tfjob={}")
    assert str(error.value) == (
        "kubeflow.tfjob: found without train.cluster, whose tasks it runs; set it, such as "
        "train.cluster: {workers: 2}, or remove it"
    )
    assert not list(tmp_path.iterdir())


def test_a_job_for_one_process_is_refused(tmp_path):
    with pytest.raises(UserError) as error:
        compiled(tmp_path, "train.cluster={mirrored: 2}", "kubeflow.tfjob={}")
    assert str(error.value) == (
        "kubeflow.tfjob: found with train.cluster.mirrored, which the Trainer's pod does by "
        "itself; remove it, or set train.cluster: {workers: 2}"
    )


def test_v2_engines_train_with_processes_and_note_it(files):
    (note,) = [note for note in files.notes if "tfjob" in note]
    assert note == (
        "pipeline_job.json, pipeline_spec.yaml: kubeflow.tfjob is not used; the tasks of "
        "train.cluster are processes of the trainer's step"
    )
    for file in files.files[1:]:
        text = file.read_text()
        assert "TFJob" not in text and TFJOB_FLAG not in text
        assert "max_restarts" in text, "the cluster is still trained"


def test_a_malformed_job_is_refused(workflow):
    args, index = index_of_the_job(workflow)
    for text, message in [
        ("{", "--tfjob: not a TFJob in JSON: "),
        ("[]", "--tfjob: found [], expected a TFJob"),
    ]:
        args[index] = text
        assert any(message in line for line in lint.findings(workflow))


def change(tree, path, value):
    """Sets the value at a place; None deletes it."""
    *parents, last = path.split("/")
    for key in parents:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


OWNERS = [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "{{workflow.uid}}"}]
TTL = "spec/runPolicy/ttlSecondsAfterFinished"
CHIEF = "spec/tfReplicaSpecs/Chief"
POD = f"{CHIEF}/template/spec"
TASK = f"{POD}/containers/0"
MOUNTS = [{"name": "pipelines", "mountPath": "/mnt/elsewhere"}]
A_POD = {"metadata": {}, "spec": {"containers": [{"name": "tensorflow", "image": "a:1"}]}}
A_REPLICA = {"replicas": 1, "restartPolicy": "ExitCode", "template": A_POD}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # Keys and types.
        ("spec", None, "spec: missing"),
        ("metadata/ownerReference", [], "metadata.ownerReference: unknown key; did you mean owner"),
        ("spec/runPolicy/cleanPodPolicy", None, "spec.runPolicy.cleanPodPolicy: missing"),
        ("spec/runPolicy/cleanPodPolicys", "x", "spec.runPolicy.cleanPodPolicys: unknown key; did"),
        (TTL, "3", "spec.runPolicy.ttlSecondsAfterFinished: found '3' (str), expected a whol"),
        (f"{CHIEF}/replicas", "1", "spec.tfReplicaSpecs.Chief.replicas: found '1' (str), expected"),
        (f"{CHIEF}/restartPolicys", "x", "tfReplicaSpecs.Chief.restartPolicys: unknown key; did"),
        (f"{POD}/nodeSelectors", {}, "Chief.template.spec.nodeSelectors: unknown key; did you m"),
        (f"{TASK}/imag", "x", "Chief.template.spec.containers.tensorflow.imag: unknown key; did"),
        (f"{TASK}/command", "python", "containers.tensorflow.command: found 'python' (str), exp"),
        (f"{TASK}/image", None, "Chief.template.spec.containers.tensorflow.image: missing"),
        # What the operator requires.
        ("apiVersion", "kubeflow.org/v2", "apiVersion: found 'kubeflow.org/v2', expected kubeflow"),
        ("kind", "PyTorchJob", "kind: found 'PyTorchJob', expected TFJob"),
        ("metadata/name", "King_County", "metadata.name: found 'King_County', expected at most 63"),
        ("metadata/name", None, "metadata.name: missing"),
        ("metadata/name", "a" * 32, "metadata.name: found 32 letters, expected at most 31"),
        ("metadata/ownerReferences", OWNERS, "metadata.ownerReferences: found in the manifest, w"),
        ("spec/runPolicy/cleanPodPolicy", "None", "runPolicy.cleanPodPolicy: found 'None', expect"),
        (CHIEF, None, "spec.tfReplicaSpecs.Chief: missing; training needs it"),
        ("spec/tfReplicaSpecs/PS", None, "spec.tfReplicaSpecs.PS: missing; training needs it"),
        ("spec/tfReplicaSpecs/Workers", A_REPLICA, "Workers: unknown kind of task; did you mean"),
        (f"{CHIEF}/replicas", 2, "spec.tfReplicaSpecs.Chief.replicas: found 2, expected 1"),
        ("spec/tfReplicaSpecs/Worker/replicas", 0, "Worker.replicas: found 0, expected at least 1"),
        (f"{CHIEF}/restartPolicy", "Always", "Chief.restartPolicy: found 'Always', expected Exit"),
        (f"{TASK}/name", "main", "spec.containers: found main, expected tensorflow alone"),
        (f"{POD}/containers", [], "Chief.template.spec.containers: found none, expected tensorf"),
        # What must be like the step's own.
        (f"{TASK}/command", ["python"], "tensorflow.command: expected python -m models.programs."),
        (f"{TASK}/image", "other:1", "containers.tensorflow.image: differs from the step's"),
        (f"{TASK}/volumeMounts", MOUNTS, "tensorflow.volumeMounts: differs from the step's"),
        (f"{POD}/volumes", None, "Chief.template.spec.volumes: differs from the step's"),
        (f"{TASK}/env", None, "tensorflow.env.PYTHONPATH: missing; tasks find the user's modules"),
        (f"{TASK}/env/0/value", "/elsewhere", "tensorflow.env.PYTHONPATH: differs from the step's"),
        (f"{TASK}/resources/limits/memory", "1Gi", "requests.memory: found 8Gi, above the limit"),
    ],
)
def test_a_wrong_job_is_refused(path, value, message, workflow):
    args, index = index_of_the_job(workflow)
    job = json.loads(args[index])
    change(job, path, value)
    args[index] = json.dumps(job)
    found = lint.findings(workflow)
    matching = [line for line in found if message in line]
    assert matching, found
    assert all(line.startswith("templates.trainer.container.args --tfjob ") for line in matching)
    assert all("\n" not in line for line in found)
