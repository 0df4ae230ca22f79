"""Fake of Kubeflow's training operator and of a node: containers are processes of this machine.

The rules are those of the operator (v1.9.0), which `make test-cluster` runs itself:

- pkg/controller.v1/tensorflow/tfjob_controller.go: a pod `JOB-type-index` for each replica with
  TF_CONFIG in its container; the job succeeds when the chief does; conditions and replicaStatuses.
- tensorflow.go beside it, genClusterSpec: every replica has an address, the evaluator as well.
- pkg/controller.v1/common/pod.go, ReconcilePods: with restartPolicy ExitCode, a pod that ends with
  exit code 128 or higher is replaced; any other failure fails the job.
- job.go beside it, DeletePodsAndServices: cleanPodPolicy.
- pkg/util/status.go, setCondition: which conditions exclude each other.
"""

import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid
from contextlib import ExitStack

from models.distributed import layout

ROOT = pathlib.Path(__file__).parents[3]
PREFIX = "training.kubeflow.org"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Pod:
    """A pod whose only container is a process in its own process group."""

    def __init__(self, job, kind, index, tf_config, logs):
        name = job["metadata"]["name"]
        self.kind = kind
        replica = job["spec"]["tfReplicaSpecs"][kind]
        self.restarts = replica["restartPolicy"] == "ExitCode"
        template = replica["template"]
        labels = {
            f"{PREFIX}/job-name": name,
            f"{PREFIX}/operator-name": "tfjob-controller",
            f"{PREFIX}/replica-type": kind.lower(),
            f"{PREFIX}/replica-index": str(index),
            **({f"{PREFIX}/job-role": "master"} if kind == "Chief" else {}),
        }
        self.metadata = {
            "name": f"{name}-{kind.lower()}-{index}",
            "uid": str(uuid.uuid4()),
            "labels": {**template["metadata"].get("labels", {}), **labels},
        }
        (container,) = template["spec"]["containers"]
        variables = {item["name"]: item["value"] for item in container.get("env", [])}
        node = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        assert container["command"][0] == "python"
        self.log = logs / f"{self.metadata['name']}.{self.metadata['uid']}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *container["command"][1:], *container["args"]],
                cwd=ROOT,
                env={
                    **node,
                    **variables,
                    "TF_CONFIG": json.dumps(tf_config),
                    # These pods share one network, and their ports are already reserved.
                    "TF_GRPC_REUSE_PORT": "true",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_code(self):
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def phase(self):
        code = self.exit_code
        return "Running" if code is None else "Failed" if code else "Succeeded"

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def shown(self):
        code = self.exit_code
        state = {"running": {"startedAt": now()}}
        if code is not None:
            reason = "Error" if code else "Completed"
            state = {"terminated": {"exitCode": code, "reason": reason}}
        container = {"name": "tensorflow", "state": state}
        status = {"phase": self.phase, "containerStatuses": [container]}
        return {"metadata": self.metadata, "status": status}


class Job:
    """A TFJob and its pods."""

    def __init__(self, manifest, logs):
        self.manifest = manifest
        self.pods = {}
        self.restarts = []
        self._logs = logs
        self._conditions = []
        self._stack = ExitStack()
        names = [
            layout.Name(kind.lower(), index)
            for kind, replica in manifest["spec"]["tfReplicaSpecs"].items()
            for index in range(replica["replicas"])
        ]
        self._addresses = self._stack.enter_context(layout.addresses(names))
        if "Evaluator" in manifest["spec"]["tfReplicaSpecs"]:
            self._addresses[layout.EVALUATOR] = ["127.0.0.1:9"]  # does not listen
        name = manifest["metadata"]["name"]
        self._add("Created", "TFJobCreated", f"TFJob {name} is created.")

    @property
    def has_ended(self):
        return any(c["type"] in ("Succeeded", "Failed") for c in self._conditions)

    @property
    def is_being_deleted(self):
        return "deletionTimestamp" in self.manifest["metadata"]

    def reconcile(self):
        if self.has_ended or self.is_being_deleted:
            return
        name = self.manifest["metadata"]["name"]
        where = f"TFJob {self.manifest['metadata']['namespace']}/{name}"
        again = False
        for kind, replica in self.manifest["spec"]["tfReplicaSpecs"].items():
            for index in range(replica["replicas"]):
                pod = self.pods.get((kind, index))
                if pod and pod.restarts and (pod.exit_code or 0) >= 128:
                    again, pod = True, None
                    self.restarts.append(f"{kind.lower()}-{index}")
                    text = f"job {name} is restarting because {kind} replica(s) failed."
                    self._add("Restarting", "TFJobRestarting", text)
                if pod is None:
                    config = {
                        "cluster": self._addresses,
                        "task": {"type": kind.lower(), "index": index},
                        "environment": "cloud",
                    }
                    self.pods[kind, index] = Pod(self.manifest, kind, index, config, self._logs)
        chief = self.pods["Chief", 0]
        failed = [pod.kind for pod in self.pods.values() if pod.phase == "Failed"]
        if chief.phase == "Succeeded":
            self._add("Succeeded", "TFJobSucceeded", f"{where} successfully completed.")
        elif failed:
            text = f'job "{name}" is failing because "{failed[0]}" replica(s) failed.'
            self._add("Failed", "TFJobFailed", text)
        elif chief.phase == "Running" and not again:
            self._add("Running", "TFJobRunning", f"{where} is running.")
        if self.has_ended:
            self._clean_up()

    def _clean_up(self):
        policy = self.manifest["spec"]["runPolicy"].get("cleanPodPolicy", "None")
        for key, pod in list(self.pods.items()):
            if policy == "All" or (policy == "Running" and pod.phase == "Running"):
                pod.kill()
                del self.pods[key]

    def _add(self, kind, reason, message):
        """Adds a condition; Running and Restarting exclude each other."""
        if any(c["type"] == kind and c["status"] == "True" for c in self._conditions):
            return
        excluded = {"Running": "Restarting", "Restarting": "Running"}.get(kind)
        self._conditions = [c for c in self._conditions if c["type"] not in (kind, excluded)]
        for condition in self._conditions:
            if condition["type"] == "Running" and kind in ("Succeeded", "Failed"):
                condition["status"] = "False"
        self._conditions.append(
            {
                "type": kind,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": now(),
            }
        )

    def shown(self):
        counts: dict[str, dict[str, int]] = {}
        for pod in self.pods.values():
            of_kind = counts.setdefault(pod.kind, {})
            key = {"Running": "active", "Succeeded": "succeeded", "Failed": "failed"}[pod.phase]
            of_kind[key] = of_kind.get(key, 0) + 1
        status = {"conditions": self._conditions, "replicaStatuses": counts}
        return {**self.manifest, "status": status}

    def conclude(self, kind):
        """Adds a final condition, whatever the pods do."""
        self._add(kind, f"TFJob{kind}", f"TFJob {self.manifest['metadata']['name']}: {kind}.")

    def delete(self):
        self.manifest["metadata"]["deletionTimestamp"] = now()
        self.end()

    def end(self):
        for pod in self.pods.values():
            pod.kill()
        self._stack.close()
