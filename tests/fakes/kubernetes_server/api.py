"""Fake Kubernetes API of one namespace: TFJobs, their pods, and the pod of their step.

    with Api(folder) as api:
        ...             # api.url, for a real client
        api.jobs        # by name, see `training_operator.Job`

It refuses requests, fields and parameters that the real API does not know and, if it has a service
account, clients that are not signed in (see `service_account`). Jobs whose owners are all gone are
deleted (see `Api.collect`).
"""

import http.server
import json
import pathlib
import re
import threading
import urllib.parse
import uuid

from kubernetes_server import schema
from kubernetes_server.service_account import NAMESPACE, ServiceAccount
from kubernetes_server.training_operator import Job

JOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/tfjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
RUN = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "name": "king-county-x7k2p",
    "uid": "5b0f8b0e-6a43-4a5c-9d0f-2f6f6f3f9a11",
}
STEP_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "name": "king-county-x7k2p-trainer-1234567890",
    "uid": "0c9d1b52-8f0b-4f3c-8a55-7f1f0a3c2e77",
}


class Refused(Exception):
    def __init__(self, code, message):
        self.code, self.message = code, message


class Api:
    """The server.

    Args:
        folder: the folder of the containers' logs.
        forbidden: verbs and resources denied to the service account, such as `create tfjobs`.
        has_operator: whether the training operator, and so the resource TFJob, is installed.
        verdict: the condition, such as `Succeeded`, that every job gets at once, without pods.
        account: the account that clients must sign in with, over TLS; by default none.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        forbidden=(),
        has_operator=True,
        verdict=None,
        account: ServiceAccount | None = None,
    ):
        self.jobs: dict[str, Job] = {}
        self.owners = [RUN, STEP_POD]  # the existing objects that can own a job
        self.requests: list[str] = []
        self.fail_next = 0  # number of next answers that are 503
        self.break_next = ""  # method whose next answer is cut off halfway
        self.linger = 0  # number of answers that still show a job being deleted
        self._folder, self._forbidden, self._has_operator = folder, forbidden, has_operator
        self._verdict, self._account = verdict, account
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if account:
            self._http.socket = account.tls().wrap_socket(self._http.socket, server_side=True)
            self.url = self.url.replace("http", "https", 1)

    def __enter__(self):
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.01,)),
            threading.Thread(target=self._reconcile),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()
        for job in self.jobs.values():
            job.end()

    def delete_run(self):
        """Deletes the Workflow, and with it the pods of its steps."""
        self.owners.clear()

    def collect(self):
        """Collects garbage now; a thread also does so continuously."""
        with self._lock:
            self._collect()

    def _collect(self):
        """Deletes the jobs that have owners none of which exists.

        Follows attemptToDeleteItem and isDangling in kubernetes (02830ed2),
        pkg/controller/garbagecollector/garbagecollector.go: an owner is looked up by its name, and
        one with another uid is another object.
        """
        for name, job in list(self.jobs.items()):
            references = job.manifest["metadata"].get("ownerReferences") or ()
            if references and not any(reference in self.owners for reference in references):
                job.delete()
                del self.jobs[name]

    def _reconcile(self):
        while not self._stop.wait(0.05):
            with self._lock:
                self._collect()
                for job in self.jobs.values() if not self._verdict else ():
                    job.reconcile()

    def answer(self, method, path, query, body, authorization):
        if self._account and not self._account.is_shown(authorization):
            raise Refused(401, "Unauthorized")
        if self.fail_next:
            self.fail_next -= 1
            raise Refused(503, "apiserver is shutting down")
        if path == JOBS and method == "POST":
            self._allow("create tfjobs", query)
            return self._create(json.loads(body))
        if match := re.fullmatch(rf"{JOBS}/([-a-z0-9]+)", path):
            if method == "GET":
                self._allow("get tfjobs", query)
                job = self._job(match[1])
                if job.is_being_deleted:
                    self.linger -= 1
                    self._remove(match[1])
                return job.shown()
            if method == "DELETE":
                self._allow("delete tfjobs", query, "propagationPolicy")
                self._job(match[1]).delete()
                self._remove(match[1])
                return {"kind": "Status", "status": "Success"}
        if path == PODS and method == "GET":
            self._allow("list pods", query, "labelSelector")
            key, _, value = query["labelSelector"].partition("=")
            pods = [pod.shown() for job in self.jobs.values() for pod in job.pods.values()]
            return {"items": [p for p in pods if p["metadata"]["labels"].get(key) == value]}
        if path == f"{PODS}/{STEP_POD['name']}" and method == "GET":
            self._allow("get pods", query)
            return self._step_pod()
        if match := re.fullmatch(rf"{PODS}/([-a-z0-9]+)/log", path):
            self._allow("get pods/log", query, "tailLines")
            for job in self.jobs.values():
                for pod in job.pods.values():
                    if pod.metadata["name"] == match[1]:
                        lines = pod.log.read_text(errors="replace").splitlines(keepends=True)
                        return "".join(lines[-int(query["tailLines"]) :])
        raise Refused(404, "the server could not find the requested resource")

    def _allow(self, what, query, *known):
        if unknown := set(query) - set(known):
            raise Refused(400, f"unknown parameters {unknown}")
        if what in self._forbidden:
            verb, resource = what.split()
            who = f"system:serviceaccount:{NAMESPACE}:runner"
            raise Refused(403, f'User "{who}" cannot {verb} resource "{resource}"')

    def _create(self, manifest):
        if not self._has_operator:
            raise Refused(404, "404 page not found")
        if wrong := schema.mistakes(manifest):
            raise Refused(422, "; ".join(wrong))
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            raise Refused(409, f'tfjobs.kubeflow.org "{name}" already exists')
        manifest["metadata"].update(namespace=NAMESPACE, uid=str(uuid.uuid4()))
        self.jobs[name] = Job(manifest, self._folder)
        if self._verdict:
            self.jobs[name].conclude(self._verdict)
        return manifest

    def _step_pod(self):
        """Returns the step's pod (argo-workflows v3.4.16, workflow/controller/workflowpod.go)."""
        if STEP_POD not in self.owners:
            raise Refused(404, f'pods "{STEP_POD["name"]}" not found')
        owner = {**RUN, "controller": True, "blockOwnerDeletion": True}
        metadata = {"name": STEP_POD["name"], "uid": STEP_POD["uid"], "ownerReferences": [owner]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}

    def _remove(self, name):
        if self.linger <= 0:
            del self.jobs[name]

    def _job(self, name):
        if name not in self.jobs:
            raise Refused(404, f'tfjobs.kubeflow.org "{name}" not found')
        return self.jobs[name]

    def _handler(server):  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def _serve(self):
                address = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(address.query))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                shown = self.headers.get("Authorization")
                code = 200
                with server._lock:
                    try:
                        answer = server.answer(self.command, address.path, query, body, shown)
                    except Refused as refused:
                        code, message = refused.code, refused.message
                        answer = {"kind": "Status", "code": code, "message": message}
                    server.requests.append(f"{self.command} {address.path} {code}")
                    breaks = server.break_next == self.command
                    if breaks:
                        server.break_next = ""
                text = answer if isinstance(answer, str) else json.dumps(answer)
                data = text.encode()
                self.send_response(code)
                kind = "text/plain" if isinstance(answer, str) else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if breaks else data)
                self.close_connection = self.close_connection or breaks

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve

            def log_message(self, *_):
                pass

        return Handler
