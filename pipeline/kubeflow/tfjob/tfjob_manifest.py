"""The TFJob (kubeflow.org/v1) of a pipeline's Trainer.

It is built when the pipeline is compiled, so that it can be checked. The step only adds what nobody
else knows: the full name, the owner and the arguments. The pods are like the step's own.
"""

import collections
import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from models.distributed import layout
from models.settings.training_settings import Tasks
from pipeline.config.kubeflow_config import Kubeflow, Resources, TfJob

GROUP, VERSION, PLURAL, KIND = "kubeflow.org", "v1", "tfjobs", "TFJob"
COMMAND = ("python", "-m", "models.programs.cluster_task")
"""The command of a task; its arguments are the training's directory and the problem's file."""
TYPES = {
    "Chief": layout.CHIEF,
    "Worker": layout.WORKER,
    "PS": layout.PARAMETER_SERVER,
    "Evaluator": layout.EVALUATOR,
}
"""The roles of tasks by their names in a TFJob."""
CONTAINER = "tensorflow"
"""The name by which the operator finds the container."""
DIGEST = "spec-digest"
"""The annotation with a hash, which tells whether a TFJob of the same name is identical."""
LONGEST_PREFIX = 31
"""Limit of a name's start: with the fingerprint and `-evaluator-0` it must fit 63 characters."""

_SAME = ("image", "imagePullPolicy", "volumeMounts")


def of(
    problem: str,
    tasks: Tasks,
    kubeflow: Kubeflow,
    tfjob: TfJob,
    step: Mapping[str, Any],
    workflow: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the TFJob, except for what the step adds (see `filled`).

    Args:
        problem: the name of the problem, with which the job's name begins.
        tasks: the tasks of the cluster.
        kubeflow: the `kubeflow` section of the configuration.
        tfjob: its `tfjob`.
        step: the Trainer's compiled template.
        workflow: the `spec` of the workflow.
    """
    roles = collections.Counter(name.role for name in layout.names(tasks))
    prefix = re.sub(r"[^a-z0-9]+", "-", problem.lower())[:LONGEST_PREFIX].strip("-")
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": prefix if prefix[:1].isalpha() else f"t{prefix}"[:LONGEST_PREFIX],
            "labels": dict(kubeflow.labels),
        },
        "spec": {
            "runPolicy": {
                # Pods that have ended stay, with their logs; the servers, which never end, go.
                "cleanPodPolicy": "Running",
                "ttlSecondsAfterFinished": tfjob.keep_hours * 3600,
                # No backoffLimit: the step counts the restarts. The operator would not count those
                # of ExitCode, and with a limit of 0 delete every pod with its log.
            },
            "tfReplicaSpecs": {
                kind: {
                    "replicas": roles[role],
                    # See `cluster_task.FAILED`: an error of the model or the data would recur.
                    "restartPolicy": "ExitCode",
                    "template": _pod(kubeflow, getattr(tfjob, role), step, workflow),
                }
                for kind, role in TYPES.items()
                if roles[role]
            },
        },
    }


def _pod(
    kubeflow: Kubeflow,
    asked: Resources | None,
    step: Mapping[str, Any],
    workflow: Mapping[str, Any],
) -> dict[str, Any]:
    container = step["container"]
    configured = {"PYTHONPATH", *kubeflow.environment, *kubeflow.secrets}
    task_container: dict[str, Any] = {
        "name": CONTAINER,
        "command": list(COMMAND),
        "env": [variable for variable in container["env"] if variable["name"] in configured],
        **{key: container[key] for key in _SAME if key in container},
    }
    if resources := _resources(asked) if asked else container.get("resources"):
        task_container["resources"] = resources
    spec: dict[str, Any] = {"containers": [task_container]}
    for key in ("volumes", "nodeSelector"):
        if key in step:
            spec[key] = step[key]
    for key in ("serviceAccountName", "securityContext", "imagePullSecrets"):
        if key in workflow:
            spec[key] = workflow[key]
    # A sidecar proxy, such as Istio's, would not end with the task.
    annotations = {"sidecar.istio.io/inject": "false"}
    metadata = {"labels": dict(kubeflow.labels), "annotations": annotations}
    return copy.deepcopy({"metadata": metadata, "spec": spec})


def _resources(asked: Resources) -> dict[str, Any]:
    requests = {"cpu": asked.cpu, "memory": asked.memory}
    gpu = str(asked.gpu) if asked.gpu else None
    limits = {"cpu": asked.cpu_limit, "memory": asked.memory, "nvidia.com/gpu": gpu}
    both: dict[str, dict[str, Any]] = {"requests": requests, "limits": limits}
    specified = {kind: {k: v for k, v in amounts.items() if v} for kind, amounts in both.items()}
    return {kind: amounts for kind, amounts in specified.items() if amounts}


def filled(
    job: Mapping[str, Any], owner: Mapping[str, str], directory: str, problem: str
) -> dict[str, Any]:
    """Returns the TFJob of one training.

    Args:
        job: the compiled TFJob.
        owner: the reference to the object with which the job is deleted.
        directory: the training's directory; its last part, the fingerprint, is appended to the
            job's name.
        problem: the file that tells the tasks what to train.
    """
    filled_job = copy.deepcopy(dict(job))
    for replica in filled_job["spec"]["tfReplicaSpecs"].values():
        (container,) = replica["template"]["spec"]["containers"]
        container["args"] = [directory, problem]
    metadata = filled_job["metadata"]
    metadata["ownerReferences"] = [dict(owner)]
    metadata["name"] += "-" + directory.rstrip("/").rpartition("/")[2]
    digest = hashlib.sha256(json.dumps(filled_job, sort_keys=True).encode()).hexdigest()[:16]
    metadata["annotations"] = {**metadata.get("annotations", {}), DIGEST: digest}
    return filled_job
