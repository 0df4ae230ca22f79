"""Fake of Argo's view of a run: the nodes in the status of its Workflow.

The rules are those of argo-workflows (v3.4.16):

- The Workflow, which is a DAG, has a node, and so has each of its tasks. A task with retries is a
  node of type Retry, whose children are one Pod per try (workflow/controller/operator.go,
  executeTemplate and processNodeRetries).
- Downstream tasks are children of a node, or of the last try of a Retry
  (workflow/controller/dag.go, connectDependencies, and getOutboundNodes). A task that never starts
  is Omitted (dag.go, executeDAGTask).
- Ids are hashes of names (pkg/apis/workflow/v1alpha1/workflow_types.go, NodeID), so they are not in
  chronological order.
"""

import base64
import datetime
import io
import json
import tarfile

METRICS = "mlpipeline-metrics"
OMITTED = "omitted: depends condition not met"


def fnv32a(text):
    digest = 2166136261
    for byte in text.encode():
        digest = ((digest ^ byte) * 16777619) % 2**32
    return digest


def with_status(run):
    """Returns the workflow of a run with the status that Argo reports."""
    nodes = Nodes(run)
    for node in run.result.nodes:
        nodes.add(node)
    if run.result.metrics and run.result.nodes:
        # Like a real one, this artifact has a key in an object store.
        key = f"artifacts/{nodes.workflow}/{nodes.last['id']}/{METRICS}.tgz"
        nodes.last["outputs"] = {"artifacts": [{"name": METRICS, "s3": {"key": key}}]}
    if run.result.phase in ("Failed", "Error"):
        nodes.omit_the_rest()
    status = {"phase": run.result.phase, "nodes": dict(sorted(nodes.nodes.items()))}
    if run.result.message:
        status["message"] = run.result.message
    return {**run.workflow, "status": status}


def metrics_node(run):
    """Returns the id of the node that has written the run's metrics, which is the last."""
    nodes = with_status(run)["status"]["nodes"].values()
    return next((node["id"] for node in nodes if "outputs" in node), run.id)


def metrics_archive(metrics):
    """Returns the artifact of a step with metrics, in Base64."""
    rows = [{"name": n, "numberValue": v, "format": "RAW"} for n, v in metrics.items()]
    data = json.dumps({"metrics": rows}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("data")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return base64.b64encode(buffer.getvalue()).decode()


class Nodes:
    """The nodes of a run whose tasks ran one after another."""

    def __init__(self, run):
        self.run, self.time, self.nodes = run, run.scheduled, {}
        self.workflow = run.workflow["metadata"]["name"]
        self.tasks = [
            task["name"]
            for template in run.workflow["spec"].get("templates", ())
            for task in template.get("dag", {}).get("tasks", ())
        ]
        self.retried = {
            template["name"]
            for template in run.workflow["spec"].get("templates", ())
            if "retryStrategy" in template
        }
        root = self._put(self.workflow, "DAG", run.result.phase, run.scheduled, run.finished)
        self.last = root

    def add(self, node):
        """Adds the node of a task, and of its tries."""
        name, began = f"{self.workflow}.{node.name}", self.time
        ended = node.phase in ("Succeeded", "Failed", "Error")
        if node.name not in self.retried and not node.failed_tries:
            self.time += datetime.timedelta(seconds=node.seconds)
            pod = self._put(
                name, "Pod", node.phase, began, self.time if ended else None, node.message
            )
            self._follows(pod)
            return
        tries = []
        for index, message in enumerate([*node.failed_tries, node.message]):
            began_try = self.time
            self.time += datetime.timedelta(seconds=node.seconds)
            last = index == len(node.failed_tries)
            phase = node.phase if last else "Failed"
            end = self.time if ended or not last else None
            tries.append(self._put(f"{name}({index})", "Pod", phase, began_try, end, message))
        # The last try has the error; the Retry node only says that there are no more tries.
        message = "No more retries left" if node.phase in ("Failed", "Error") else ""
        whole = self._put(name, "Retry", node.phase, began, self.time if ended else None, message)
        self._follows(whole)
        whole["children"] = [attempt["id"] for attempt in tries]
        self.last = tries[-1]

    def omit_the_rest(self):
        """Adds the tasks that never started."""
        there = {node["displayName"] for node in self.nodes.values()}
        for task in self.tasks:
            if task not in there:
                name = f"{self.workflow}.{task}"
                node = self._put(name, "Skipped", "Omitted", self.time, self.time, OMITTED)
                self._follows(node)

    def _follows(self, node):
        self.last.setdefault("children", []).append(node["id"])
        self.last = node

    def _put(self, name, kind, phase, began, ended, message=""):
        node_id = self.workflow if name == self.workflow else f"{self.workflow}-{fnv32a(name)}"
        self.nodes[node_id] = {
            "id": node_id,
            "name": name,
            "displayName": name.removeprefix(f"{self.workflow}."),
            "type": kind,
            "phase": phase,
            "startedAt": rfc3339(began),
            "finishedAt": rfc3339(ended) if ended else None,
            **({"message": message} if message else {}),
        }
        return self.nodes[node_id]


def rfc3339(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
