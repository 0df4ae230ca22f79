"""Client for TFJobs and their pods in the cluster that a step runs in."""

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

from models.distributed.supervisor import TaskError
from pipeline.kubeflow.step_container import POD_NAME
from pipeline.kubeflow.tfjob.tfjob_manifest import GROUP, PLURAL, VERSION

SERVICE_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory in which Kubernetes puts a pod's credentials for its API."""
JOB_LABEL = "training.kubeflow.org/job-name"

_TIMEOUT = 30
_OVERLOADED = 429
_PATIENCE = 600.0
"""Seconds for which the API may be unavailable."""

_Answer = TypeVar("_Answer")


class Away(TaskError):
    """The API does not answer, or is unavailable at present."""


class Jobs:
    """The TFJobs of one namespace.

    Every method raises `TaskError` if the API refuses, and `Away` if it does not answer.

    Args:
        client: the client of the API.
        namespace: the step's namespace.
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
        """Returns the TFJobs of this pod's namespace, accessed with its service account.

        Raises:
            TaskError: the pod has no service account, or does not know its own name.
        """
        pod = os.environ.get(POD_NAME)
        if not pod:
            raise TaskError(
                f"kubeflow.tfjob: the variable {POD_NAME} is not set in the step's pod; write the "
                "workflow again with kubeflow_runner.py compile"
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
        """Returns the owner reference for a job, so that it is deleted with the run's Workflow.

        The reference comes from the step's pod, whose controller is the Workflow; a pod without a
        controller is the owner itself. A manifest cannot contain it: Kubeflow Pipelines replaces
        `{{workflow.uid}}` with the id of the run (backend/src/common/util/workflow.go,
        ReplaceUID), and Kubernetes deletes a job whose owner has another uid. The pod would be too
        short-lived an owner: a retry of the step has another pod, and the first may be deleted.
        """
        try:
            answer = self._ask(
                "get pods", self._core.read_namespaced_pod, self._pod, self.namespace
            )
        except _Missing:
            raise TaskError(
                f"kubeflow.tfjob: there is no pod {self._pod} in {self.namespace}, although "
                f"{POD_NAME} names it"
            ) from None
        pod = json.loads(answer)["metadata"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        for reference in pod.get("ownerReferences") or ():
            if reference.get("controller"):
                # These keys only: to block the owner's deletion takes further permissions.
                owner = {key: reference[key] for key in owner}
        return owner

    def create(self, job: Mapping[str, Any]) -> bool:
        """Creates a job; returns False if one with its name exists."""
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
        """Returns the current state of a job; None if it does not exist."""
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
        """Deletes a job and its pods, if it exists."""
        with contextlib.suppress(_Missing):
            self._ask(
                "delete tfjobs.kubeflow.org",
                self._custom.delete_namespaced_custom_object,
                *self._of_jobs,
                name,
                propagation_policy="Foreground",
            )

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Returns the pods of a job, sorted by name."""
        answer = self._ask(
            "list pods",
            self._core.list_namespaced_pod,
            self.namespace,
            label_selector=f"{JOB_LABEL}={name}",
        )
        return sorted(json.loads(answer)["items"], key=lambda pod: pod["metadata"]["name"])

    def log(self, pod: str, lines: int) -> list[str]:
        """Returns the last lines of a pod's log; none if the pod no longer exists."""
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
            # As bytes: the client's own types refuse values that are new to them. They are read
            # here, as a connection may also break in the middle of a response.
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
                hint = (
                    f"; allow the step's service account to {what} in the namespace "
                    f'{self.namespace} (docs/distributed.md, "On Kubeflow")'
                )
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
    """Calls the API until it answers; training goes on while it is unavailable.

    Args:
        every: seconds between calls.
        ask: a method of `Jobs`.
        args: its arguments.

    Raises:
        TaskError: the API is unavailable for too long, or refuses the request.
    """
    began = time.monotonic()
    while True:
        try:
            return ask(*args)
        except Away as error:
            if time.monotonic() - began > _PATIENCE:
                raise TaskError(f"{error}; waited {_PATIENCE:.0f} s") from None
            logging.warning("TFJobs: %s; retrying", error)
        time.sleep(every)


def in_a_cluster() -> bool:
    """Returns whether this process runs in a pod."""
    return incluster_config.SERVICE_HOST_ENV_NAME in os.environ
