"""A Kubeflow Pipelines server that keeps to the published v1beta1 API to the letter.

Types, enumerations and field names are those of kfp-server-api's generated models; what they do not
say (which fields a request needs, what is a conflict) is what the API server of release 1.8 checks
(backend/src/apiserver/server and /resource of github.com/kubeflow/pipelines).
"""

import dataclasses
import datetime
import email
import email.policy
import http.server
import json
import re
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import kfp_server_api
import yaml
from croniter import croniter

_INT64 = {("ApiJob", "max_concurrency"), ("ApiPeriodicSchedule", "interval_second")}
_PAGES = {"page_size", "page_token", "sort_by", "filter"}
_REFERENCE = {"resource_reference_key.type", "resource_reference_key.id"}
_KEY = {"resource_key.type", "resource_key.id"}


class Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclasses.dataclass
class Result:
    """What became of a workflow: Argo's phase, a phase for each step, numbers."""

    phase: str
    steps: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Published:
    """The types of an API: those of kfp-server-api 1.8's models."""

    int64 = _INT64

    def allowed(self, kind: str) -> list[str] | None:
        return getattr(getattr(kfp_server_api, kind), "allowable_values", None)

    def fields(self, kind: str) -> dict[str, str]:
        model = getattr(kfp_server_api, kind)
        return {model.attribute_map[name]: of for name, of in model.openapi_types.items()}


def check(value: Any, kind: str, where: str, published: Published | None = None) -> None:
    """Refuses what is not of a type of the generated models."""
    published = published or Published()
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            raise Refused(400, f"{where}: expected a list, found {value!r}")
        for index, item in enumerate(value):
            check(item, match.group(1), f"{where}[{index}]", published)
        return
    if match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            raise Refused(400, f"{where}: expected an object, found {value!r}")
        for name, item in value.items():
            check(item, match.group(1), f"{where}.{name}", published)
        return
    if kind == "object":
        return
    plain: dict[str, Any] = {
        "str": str,
        "int": int,
        "bool": bool,
        "float": (int, float),
        "datetime": str,
    }
    if kind in plain:
        if not isinstance(value, plain[kind]) or (kind != "bool" and isinstance(value, bool)):
            raise Refused(400, f"{where}: expected {kind}, found {value!r}")
        return
    if allowed := published.allowed(kind):
        if value not in allowed:
            raise Refused(400, f"{where}: {value!r} is not one of {allowed}")
        return
    if not isinstance(value, dict):
        raise Refused(400, f"{where}: expected an object, found {value!r}")
    types = published.fields(kind)
    for name, item in value.items():
        if name not in types:
            raise Refused(400, f"{where}: unknown field {name!r}")
        if (kind, name) in published.int64 and str(item).isdigit():
            continue
        check(item, types[name], f"{where}.{name}", published)


class Server:
    """State and rules; `host` is where it listens while `with` lasts.

    Attributes:
        execute: runs a workflow's text with its parameters.
        now: the controllable clock.
        token, cookie: what a request must carry, if any.
        multi_user: whether experiments belong to namespaces.
        html: whether a login page stands before it.
        generations: of the API that it serves.
    """

    def __init__(self, execute: Callable[[str, Mapping[str, str]], Result] | None = None):
        self.execute = execute
        self.now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        self.token: str | None = None
        self.cookie: str | None = None
        self.multi_user = False
        self.html = False
        self.generations = ["v1beta1"]
        self.experiments: dict[str, dict] = {}
        self.pipelines: dict[str, dict] = {}
        self.versions: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.jobs: dict[str, dict] = {}
        self._waiting: list[str] = []
        self._fired: dict[str, datetime.datetime] = {}

    def __enter__(self) -> "Server":
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self):
                server.handle(self)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def work(self) -> None:
        """Executes what waits."""
        assert self.execute
        while self._waiting:
            run = self.runs[self._waiting.pop(0)]
            parameters = {
                item["name"]: item["value"] for item in run["pipeline_spec"]["parameters"]
            }
            result = self.execute(run.pop("_manifest"), parameters)
            run["status"] = result.phase
            run["metrics"] = [
                {"name": name, "number_value": value, "node_id": "evaluator", "format": "RAW"}
                for name, value in result.metrics.items()
            ]
            nodes = {
                step: {"displayName": step, "phase": phase, "type": "Pod"}
                for step, phase in result.steps.items()
            }
            run["_workflow"] = {"status": {"phase": result.phase, "nodes": nodes}}

    def tick(self, to: datetime.datetime) -> None:
        """Moves the clock; recurring runs that are due by then start."""
        for job in self.jobs.values():
            times = croniter(
                job["trigger"]["cron_schedule"]["cron"],
                self._fired.get(job["id"], self.now),
                second_at_beginning=True,
            )
            due = until(times, to)
            if due and job["enabled"]:
                # Without catch-up only the last of them.
                for _ in due[-1:] if job.get("no_catchup") else due:
                    self._start({**job, "id": "", "name": f"{job['name']} {len(self.runs)}"})
            if due:
                self._fired[job["id"]] = due[-1]
        self.now = to

    def handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            if self.html:
                return _send(request, 200, "<html>Log in</html>", "text/html")
            self._admit(request)
            answer = self._route(request, url.path, query, body)
            _send(request, 200, json.dumps(answer))
        except Refused as error:
            message = str(error)
            text = {"error": message, "error_message": message, "code": 3, "details": []}
            _send(request, error.status, json.dumps(text))

    def _admit(self, request) -> None:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "Request header error: there is no user identity header.")
        if self.cookie and request.headers.get("Cookie") != self.cookie:
            raise Refused(403, "RBAC: access denied")

    def _route(self, request, path: str, query: Mapping[str, str], body: bytes) -> Any:
        generation = path.split("/")[2] if path.startswith("/apis/") else ""
        if generation not in self.generations:
            raise Refused(404, "Not Found")
        for method, pattern, allowed, answer in self._routes():
            match = re.fullmatch(f"/apis/{generation}/{pattern}", path)
            if match and method == request.command:
                if unknown := query.keys() - allowed:
                    raise Refused(400, f"unknown query parameters: {sorted(unknown)}")
                return answer(*match.groups(), query=query, body=_parsed(request, body))
        raise Refused(404, f"Not Found: {request.command} {path}")

    def _routes(self):
        return [
            ("GET", "healthz", set(), self._healthz),
            ("GET", "experiments", _PAGES | _REFERENCE, self._list_experiments),
            ("POST", "experiments", set(), self._create_experiment),
            ("POST", "pipelines/upload", {"name", "description"}, self._upload),
            (
                "POST",
                "pipelines/upload_version",
                {"name", "pipelineid", "description"},
                self._upload_version,
            ),
            ("GET", "pipelines", _PAGES | _REFERENCE, self._list_pipelines),
            ("GET", "pipeline_versions", _PAGES | _KEY, self._list_versions),
            ("POST", "runs", set(), self._create_run),
            ("GET", "runs/([^/]+)", set(), self._get_run),
            ("GET", "jobs", _PAGES | _REFERENCE, self._list_jobs),
            ("POST", "jobs", set(), self._create_job),
            ("POST", "jobs/([^/]+)/(enable|disable)", set(), self._enable_job),
            ("DELETE", "jobs/([^/]+)", set(), self._delete_job),
        ]

    def _healthz(self, query, body):
        return {"commit_sha": "0", "tag_name": "1.8.5", "multi_user": self.multi_user}

    def _list_experiments(self, query, body):
        found = list(self.experiments.values())
        if self.multi_user:
            if query.get("resource_reference_key.type") != "NAMESPACE":
                raise Refused(400, "In multi-user mode, listing needs the namespace.")
            namespace = query["resource_reference_key.id"]
            found = [item for item in found if item["_namespace"] == namespace]
        return page("experiments", found, query)

    def _create_experiment(self, query, body):
        check(body, "ApiExperiment", "experiment")
        if not body.get("name"):
            raise Refused(400, "The experiment name is empty.")
        namespace = ""
        for reference in body.get("resource_references", []):
            if reference["key"]["type"] == "NAMESPACE" and reference["relationship"] == "OWNER":
                namespace = reference["key"]["id"]
        if self.multi_user and not namespace:
            raise Refused(400, "The experiment needs a namespace.")
        if body["name"] in [item["name"] for item in self.experiments.values()]:
            raise Refused(409, f"Already exist error: experiment {body['name']}")
        return self._keep(self.experiments, {**body, "_namespace": namespace})

    def _upload(self, query, body):
        workflow(body)
        if query["name"] in [item["name"] for item in self.pipelines.values()]:
            raise Refused(409, f"Already exist error: pipeline {query['name']}")
        pipeline = self._keep(self.pipelines, {"name": query["name"]})
        version = self._new_version(query["name"], pipeline["id"], body)
        self.pipelines[pipeline["id"]]["default_version"] = public(version)
        return public(self.pipelines[pipeline["id"]])

    def _upload_version(self, query, body):
        workflow(body)
        if query["pipelineid"] not in self.pipelines:
            raise Refused(404, f"Pipeline {query['pipelineid']} not found.")
        return self._new_version(query["name"], query["pipelineid"], body)

    def _new_version(self, name: str, pipeline: str, manifest: str) -> dict:
        own = [item for item in self.versions.values() if item["_pipeline"] == pipeline]
        if name in [item["name"] for item in own]:
            raise Refused(409, f"Already exist error: version {name}")
        version = {"name": name, "_pipeline": pipeline, "_manifest": manifest}
        return self._keep(self.versions, version)

    def _list_pipelines(self, query, body):
        return page("pipelines", list(self.pipelines.values()), query)

    def _list_versions(self, query, body):
        if query.get("resource_key.type") != "PIPELINE":
            raise Refused(400, "resource_key.type must be PIPELINE")
        own = query["resource_key.id"]
        found = [item for item in self.versions.values() if item["_pipeline"] == own]
        return page("versions", found, query)

    def _create_run(self, query, body):
        check(body, "ApiRun", "run")
        return {"run": self._start(body)}

    def _start(self, body: dict) -> dict:
        if not body.get("name"):
            raise Refused(400, "The run name is empty.")
        manifest = self._referred(body)
        run = self._keep(self.runs, {**public(body), "status": "", "_manifest": manifest})
        self._waiting.append(run["id"])
        return run

    def _referred(self, body: dict) -> str:
        """The workflow that a run or job refers to; what it must name is there."""
        references = {
            (item["key"]["type"], item.get("relationship")): item["key"]["id"]
            for item in body.get("resource_references", [])
        }
        if references.get(("EXPERIMENT", "OWNER")) not in self.experiments:
            raise Refused(404, "Experiment not found.")
        version = references.get(("PIPELINE_VERSION", "CREATOR"))
        if version not in self.versions:
            raise Refused(404, "Pipeline version not found.")
        manifest = self.versions[version]["_manifest"]
        declared = yaml.safe_load(manifest)["spec"]["arguments"].get("parameters", [])
        for item in body["pipeline_spec"].setdefault("parameters", []):
            if item["name"] not in [known["name"] for known in declared]:
                raise Refused(400, f"Unrecognized input parameter: {item['name']}.")
        return manifest

    def _get_run(self, run, query, body):
        if run not in self.runs:
            raise Refused(404, f"Run {run} not found.")
        found = self.runs[run]
        manifest = json.dumps(found.get("_workflow", {}))
        return {"run": public(found), "pipeline_runtime": {"workflow_manifest": manifest}}

    def _list_jobs(self, query, body):
        return page("jobs", list(self.jobs.values()), query)

    def _create_job(self, query, body):
        check(body, "ApiJob", "job")
        if not body.get("name"):
            raise Refused(400, "The job name is empty.")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refused(400, "The max concurrency of the job is out of range.")
        cron = body.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        if len(cron.split()) != 6 or re.search("[A-Za-z#]", cron):
            raise Refused(400, f"Schedule cron is not a supported format: {cron}")
        croniter(cron, second_at_beginning=True)
        self._referred(body)
        return self._keep(self.jobs, body)

    def _enable_job(self, job, what, query, body):
        self._job(job)["enabled"] = what == "enable"
        return {}

    def _delete_job(self, job, query, body):
        self._job(job)
        del self.jobs[job]
        return {}

    def _job(self, job: str) -> dict:
        if job not in self.jobs:
            raise Refused(404, f"Job {job} not found.")
        return self.jobs[job]

    def _keep(self, store: dict, item: dict) -> dict:
        item = {**item, "id": str(uuid.uuid4()), "created_at": self.now.isoformat()}
        store[item["id"]] = item
        return public(item)


def until(times: croniter, to: datetime.datetime) -> list[datetime.datetime]:
    due = []
    while (moment := times.get_next(datetime.datetime)) <= to:
        due.append(moment)
    return due


def page(key: str, items: list[dict], query: Mapping[str, str]) -> dict:
    """A page of at most two: so that whoever stops at the first is found out."""
    if query.get("filter"):
        for predicate in json.loads(query["filter"])["predicates"]:
            items = [i for i in items if i[predicate["key"]] == predicate["stringValue"]]
    start = int(query.get("page_token") or 0)
    page: dict[str, Any] = (
        {key: [public(item) for item in items[start : start + 2]]} if items else {}
    )
    if start + 2 < len(items):
        page["next_page_token"] = str(start + 2)
    return page


def public(item: Mapping[str, Any]) -> dict:
    return {name: value for name, value in item.items() if not name.startswith("_")}


def _parsed(request, body: bytes) -> Any:
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("multipart/form-data"):
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        (part,) = message.iter_parts()
        if part.get_param("name", header="Content-Disposition") != "uploadfile":
            raise Refused(400, "expected the form field uploadfile")
        return (
            part.get_content().decode()
            if isinstance(part.get_content(), bytes)
            else part.get_content()
        )
    if not body:
        return None
    if not kind.startswith("application/json"):
        raise Refused(400, f"unexpected content type {kind}")
    return json.loads(body)


def workflow(text: str) -> None:
    if yaml.safe_load(text).get("kind") != "Workflow":
        raise Refused(400, "The pipeline spec is invalid.")


def _send(request, status: int, text: str, kind: str = "application/json") -> None:
    data = text.encode()
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
