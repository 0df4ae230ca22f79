"""Tests of a TFJob that the training operator manages, and of the step that follows it.

There is no node: the tests set what a node would report of the pods.
"""

import pytest
from etils import epath

from models.distributed import layout
from models.distributed.supervisor import TaskError
from models.progress.training_progress import Progress
from pipeline.kubeflow.tfjob import tfjob_manifest
from pipeline.kubeflow.tfjob.job_follower import Follower, JobEnded
from tests.cluster import manifests, training_operator
from tests.cluster.api_server import Refused
from tests.cluster.programs import until

TASKS = ["chief-0", "evaluator-0", "ps-0", "worker-0", "worker-1"]
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def ended(exit_code: int, reason: str = "Error"):
    return {"terminated": {"exitCode": exit_code, "reason": reason}}


@pytest.fixture(scope="module", autouse=True)
def operator(engines, api, tmp_path_factory):
    with training_operator.operating(engines, tmp_path_factory.mktemp("operator"), api):
        yield


@pytest.fixture
def create(jobs, workflow, tmp_path):
    """Returns a function that creates a TFJob, waits for its pods, and returns its follower."""

    def create() -> Follower:
        compiled = manifests.tfjob(workflow)
        directory = epath.Path(tmp_path) / "0123456789abcdef"
        directory.mkdir()
        job = tfjob_manifest.filled(compiled, jobs.owner(), str(directory), "/problem.json")
        assert jobs.create(job)
        name = job["metadata"]["name"]
        until(lambda: len(jobs.pods(name)) == len(TASKS), "the pods of the job")
        uid = jobs.read(name)["metadata"]["uid"]

        def ask(method, *args):
            return method(*args)

        return Follower(jobs, ask, job, uid, directory, Progress(100))

    return create


@pytest.fixture
def name(workflow):
    return manifests.tfjob(workflow)["metadata"]["name"] + "-0123456789abcdef"


@pytest.fixture
def report(api, namespace, name):
    """Returns a function that reports the state of a task's pod, as its node does."""

    def report(task: str, phase: str, state=None, **status) -> None:
        pod = api.read("Pod", f"{name}-{task}", namespace)
        (container,) = pod["spec"]["containers"]
        status["containerStatuses"] = None
        if state:
            container_status = {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": phase == "Running",
                "restartCount": 0,
                "state": state,
            }
            status["containerStatuses"] = [container_status]
        api.patch(pod, {"status": {"phase": phase, **status}}, "status")

    return report


@pytest.fixture
def kill(report, jobs, name):
    """Returns a function that reports a task's death, and waits until it has another pod."""

    def kill(task: str, state=None, **status) -> None:
        before = uid(jobs, name, task)
        report(task, "Failed", state, **status)
        until(lambda: uid(jobs, name, task) not in (None, before), "another pod")

    return kill


@pytest.fixture
def run_all(report, jobs, name):
    """Returns a function that reports that all tasks run, and waits until the job does."""

    def run_all() -> None:
        for task in TASKS:
            report(task, "Running", RUNNING)
        until(lambda: "Running" in conditions(jobs, name), "the job to be running")

    return run_all


def conditions(jobs, name) -> list[str]:
    status = jobs.read(name).get("status", {})
    return [item["type"] for item in status.get("conditions", ()) if item["status"] == "True"]


def uid(jobs, name, task) -> str | None:
    uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in jobs.pods(name)}
    return uids.get(f"{name}-{task}")


def tf_config(pod) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if item["name"] == "TF_CONFIG"}


def test_every_task_finds_itself_and_the_others(api, namespace, jobs, create, name):
    create()
    pods = jobs.pods(name)
    assert [pod["metadata"]["name"] for pod in pods] == [f"{name}-{task}" for task in TASKS]
    clusters = [layout.in_environment(tf_config(pod)) for pod in pods]
    assert [f"{c.task.role}-{c.task.index}" for c in clusters if c] == TASKS
    hosts = [f"{name}-{task}.{namespace}.svc" for task in TASKS]
    for cluster in clusters:
        assert cluster and cluster.hosts == hosts
        assert all(
            address.endswith(":2222") for role in cluster.addresses.values() for address in role
        )

    def services():
        found = api.items("Service", namespace)
        return found if len(found) == len(TASKS) else None

    for pod, service in zip(pods, until(services, "the services of the job")):
        assert service["metadata"]["name"] == pod["metadata"]["name"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert [port["port"] for port in service["spec"]["ports"]] == [2222]


def test_the_pods_are_those_that_were_compiled(jobs, create, name, workflow):
    create()
    compiled = manifests.tfjob(workflow)["spec"]["tfReplicaSpecs"]
    for pod in jobs.pods(name):
        role = pod["metadata"]["labels"]["training.kubeflow.org/replica-type"]
        (template,) = [compiled[kind]["template"] for kind in compiled if kind.lower() == role]
        assert template["metadata"]["labels"].items() <= pod["metadata"]["labels"].items()
        assert template["metadata"]["annotations"] == pod["metadata"]["annotations"]
        (container,), (asked,) = pod["spec"]["containers"], template["spec"]["containers"]
        for key in ("command", "image"):
            assert container[key] == asked[key], key
        # The server requests as many devices as there may be.
        assert container["resources"]["limits"] == asked["resources"]["limits"]
        assert all(item in container["env"] for item in asked["env"])
        assert all(item in container["volumeMounts"] for item in asked["volumeMounts"])
        assert pod["spec"]["serviceAccountName"] == manifests.ACCOUNT
        assert pod["spec"]["restartPolicy"] == "Never"


def test_a_job_succeeds_with_its_chief(create, report, run_all, jobs, name):
    follower = create()
    assert not follower.has_succeeded(4)
    run_all()
    assert not follower.has_succeeded(4)
    assert follower._progress.tasks == "5/5 tasks"
    report("chief-0", "Succeeded", ended(0, "Completed"))
    until(lambda: follower.has_succeeded(4), "the job to succeed")
    until(lambda: len(jobs.pods(name)) == 1, "the end of the servers")
    assert follower.restarts == []


def test_a_killed_task_is_restarted(create, report, kill, run_all, jobs, name):
    follower = create()
    run_all()
    assert not follower.has_succeeded(4)
    kill("worker-1", ended(137, "OOMKilled"))
    assert not follower.has_succeeded(4)
    (restart,) = follower.restarts
    assert restart["task"] == "worker-1"
    report("worker-1", "Running", RUNNING)
    report("chief-0", "Succeeded", ended(0, "Completed"))
    until(lambda: follower.has_succeeded(4), "the job to succeed")


def test_an_evicted_task_is_restarted(create, kill, run_all):
    follower = create()
    run_all()
    assert not follower.has_succeeded(4)
    kill("ps-0", reason="Evicted", message="The node had no memory left.")
    assert not follower.has_succeeded(4)
    assert [restart["task"] for restart in follower.restarts] == ["ps-0"]


def test_too_many_restarts_end_the_wait(create, kill, run_all):
    follower = create()
    run_all()
    assert not follower.has_succeeded(1)
    kill("worker-0", ended(137))
    assert not follower.has_succeeded(1)
    kill("worker-0", ended(137))
    with pytest.raises(TaskError, match="^worker-0 .* at step 0, after 1 restarts of the "):
        follower.has_succeeded(1)


def test_without_restarts_the_first_death_ends_the_wait(create, kill, run_all):
    follower = create()
    run_all()
    assert not follower.has_succeeded(0)
    kill("worker-0", ended(137))
    with pytest.raises(TaskError, match="^worker-0 .* at step 0, after 0 restarts of the "):
        follower.has_succeeded(0)


@pytest.mark.parametrize("max_restarts", [0, 4])
def test_an_error_of_the_model_fails_the_job(
    create, report, run_all, jobs, name, namespace, max_restarts
):
    follower = create()
    run_all()
    report("worker-0", "Failed", ended(1))
    until(lambda: "Failed" in conditions(jobs, name), "the job to fail")
    with pytest.raises(JobEnded) as end:
        follower.has_succeeded(max_restarts)
    assert str(end.value.error) == (
        f"worker-0: ended with exit code 1; its log: kubectl logs -n {namespace} {name}-worker-0"
    )
    left = until(lambda: len(pods := jobs.pods(name)) == 1 and pods, "the end of the other tasks")
    assert left[0]["metadata"]["name"] == f"{name}-worker-0", "with its log"


def test_the_webhook_checks_jobs(api, namespace, workflow):
    job = manifests.tfjob(workflow)
    (container,) = job["spec"]["tfReplicaSpecs"]["Chief"]["template"]["spec"]["containers"]
    container["name"] = "main"
    with pytest.raises(Refused, match="denied the request: .*container with name tensorflow"):
        api.create(job, namespace)


def test_a_deleted_job_takes_its_pods_with_it(create, jobs, name, api, namespace):
    follower = create()
    jobs.delete(name)
    until(lambda: jobs.read(name) is None, "the deletion of the job")
    assert jobs.pods(name) == []
    until(lambda: not api.items("Service", namespace), "the deletion of its services")
    with pytest.raises(JobEnded) as end:
        follower.has_succeeded(4)
    assert "was deleted by someone, or with its run" in str(end.value.error)
