"""What a step asks of the cluster that it runs in: TFJobs, and the pods of one."""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import urllib3
from absl import logging
from kubernetes import client as k8s
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException, incluster_config

from models.cluster.supervisor import TaskError
from pipeline.kubeflow.container import POD_NAME
from pipeline.kubeflow.tfjob.manifest import GROUP, PLURAL, VERSION

SERVICE_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts what a pod may show to its API."""
JOB_LABEL = "training.kubeflow.org/job-name"

_TIMEOUT = 30
_OVERLOADED = 429
_PATIENCE = 600.0
"""Seconds for which the API may be away."""

_Answer = TypeVar("_Answer")


class Away(TaskError):
    """The API does not answer, or cannot at present."""


class Jobs:
    """The TFJobs of one namespace.

    Every method raises `TaskError` if the API refuses, and `Away` if it does not answer.

    Args:
        client: of the API.
        namespace: the step's own.
        pod: the name of the step's pod.
    """

    def __init__(self, client: k8s.ApiClient, namespace: str, pod: str):
        self.namespace = namespace
        self._pod = pod
        self._custom = k8s.CustomObjectsApi(client)
        self._core = k8s.CoreV1Api(client)
        self._of_jobs = (GROUP, VERSION, namespace, PLURAL)

    @classmethod
    def of_this_pod(cls) -> "Jobs":
        """Those of the namespace that this process runs in, with its pod's service account.

        Raises:
            TaskError: the pod has none, or does not know its own name.
        """
        pod = os.environ.get(POD_NAME)
        if not pod:
            raise TaskError(
                f"kubeflow.tfjob: the variable {POD_NAME} is not set in the step's pod; write the "
                "workflow anew with kubeflow_runner.py compile"
            )
        account = SERVICE_ACCOUNT
        configuration = k8s.Configuration()
        try:
            incluster_config.InClusterConfigLoader(
                token_filename=str(account / "token"), cert_filename=str(account / "ca.crt")
            ).load_and_set(configuration)
            namespace = (account / "namespace").read_text().strip()
        except (ConfigException, OSError) as error:
            raise TaskError(
                f"kubeflow.tfjob: no service account at {account} ({error}), expected one that may "
                "create TFJobs; let its token be mounted (automountServiceAccountToken), or remove "
                "kubeflow.tfjob"
            ) from None
        return cls(k8s.ApiClient(configuration), namespace, pod)

    def owner(self) -> dict[str, str]:
        """Returns the reference to the run's Workflow, with which a job is to be deleted.

        It stands in the step's pod, which Argo makes with the Workflow as its controller. A
        manifest cannot have it: Kubeflow Pipelines replaces `{{workflow.uid}}` by the id of the
        run (backend/src/common/util/workflow.go, ReplaceUID), and a job whose owner has another
        uid is garbage to Kubernetes. The pod itself would be too short-lived an owner: another
        try of the step has another pod, and the first one may be removed meanwhile.
        """
        try:
            answer = self._ask(
                "get pods", self._core.read_namespaced_pod, self._pod, self.namespace
            )
        except _Missing:
            raise TaskError(
                f"kubeflow.tfjob: there is no pod {self._pod} in {self.namespace}, which {POD_NAME}"
                " says that this step runs in"
            ) from None
        pod = json.loads(answer)["metadata"]
        found = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        for reference in pod.get("ownerReferences") or ():
            if reference.get("controller"):
                # Without the rest: to block the owner's deletion takes further permissions.
                found = {key: reference[key] for key in found}
        return found

    def create(self, job: Mapping[str, Any]) -> bool:
        """Creates a job; False if there is one of that name."""
        try:
            self._ask(
                "create tfjobs.kubeflow.org",
                self._custom.create_namespaced_custom_object,
                *self._of_jobs,
                dict(job),
            )
        except _Conflict:
            return False
        except _Missing:
            raise TaskError(
                f"kubeflow.tfjob: this cluster has no {PLURAL}.{GROUP} ({VERSION}); install "
                "Kubeflow's training operator, or remove kubeflow.tfjob"
            ) from None
        return True

    def read(self, name: str) -> dict[str, Any] | None:
        """A job as it is now; None if there is none of that name."""
        try:
            answer = self._ask(
                "get tfjobs.kubeflow.org",
                self._custom.get_namespaced_custom_object,
                *self._of_jobs,
                name,
            )
        except _Missing:
            return None
        return json.loads(answer)

    def delete(self, name: str) -> None:
        """Deletes a job and its pods, if it is there."""
        with contextlib.suppress(_Missing):
            self._ask(
                "delete tfjobs.kubeflow.org",
                self._custom.delete_namespaced_custom_object,
                *self._of_jobs,
                name,
                propagation_policy="Foreground",
            )

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a job, in the order of their names."""
        answer = self._ask(
            "list pods",
            self._core.list_namespaced_pod,
            self.namespace,
            label_selector=f"{JOB_LABEL}={name}",
        )
        return sorted(json.loads(answer)["items"], key=lambda pod: pod["metadata"]["name"])

    def log(self, pod: str, lines: int) -> list[str]:
        """The last lines of a pod's log; none if it is not there any more."""
        try:
            answer = self._ask(
                "get pods/log",
                self._core.read_namespaced_pod_log,
                pod,
                self.namespace,
                tail_lines=lines,
            )
        except _Missing:
            return []
        return answer.decode(errors="replace").splitlines()

    def _ask(self, what: str, method: Callable, *args: Any, **kwargs: Any) -> bytes:
        try:
            # As bytes: this client's own types refuse what is new to them. They are read here,
            # because a connection may also end within an answer.
            return method(*args, **kwargs, _preload_content=False, _request_timeout=_TIMEOUT).data
        except urllib3.exceptions.HTTPError as error:
            raise Away(f"the Kubernetes API does not answer: {error}") from None
        except ApiException as error:
            message = _message(error)
            if error.status == 404:
                raise _Missing from None
            if error.status == 409:
                raise _Conflict from None
            if error.status in (None, 0, _OVERLOADED) or error.status >= 500:
                raise Away(f"the Kubernetes API answers {error.status}: {message}") from None
            hint = ""
            if error.status in (401, 403):
                hint = f"; let the step's service account {what} in the namespace {self.namespace}"
                hint += ' (docs/distributed.md, "On Kubeflow")'
            raise TaskError(f"kubeflow.tfjob: {what}: {message}{hint}") from None


class _Missing(Exception):
    pass


class _Conflict(Exception):
    pass


def _message(error: ApiException) -> str:
    try:
        text = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        text = error.body or error.reason or ""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return " ".join(str(text).split())


def patiently(every: float, ask: Callable[..., _Answer], *args: Any) -> _Answer:
    """What the API says, which may be away for a while; training goes on meanwhile.

    Args:
        every: seconds between tries.
        ask: a method of `Jobs`.
        args: its arguments.

    Raises:
        TaskError: the API is away for too long, or refuses.
    """
    began = time.monotonic()
    while True:
        try:
            return ask(*args)
        except Away as error:
            if time.monotonic() - began > _PATIENCE:
                raise TaskError(f"{error}; waited {_PATIENCE:.0f} s") from None
            logging.warning("TFJobs: %s; it is asked again", error)
        time.sleep(every)


def in_a_cluster() -> bool:
    """Whether this process runs in a pod."""
    return incluster_config.SERVICE_HOST_ENV_NAME in os.environ
