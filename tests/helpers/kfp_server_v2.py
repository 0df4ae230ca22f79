"""The same server as `kfp_server`, of release 2: it serves the v2beta1 API alone."""

import datetime
import json
import pathlib
import re
from typing import Any

import yaml
from croniter import croniter
from kfp_server import Published, Refused, Server, check, page, public, until, workflow

_TYPES = json.loads(pathlib.Path(__file__).with_name("kfp_v2beta1.json").read_text())
_PAGES = {"page_size", "page_token", "sort_by", "filter"}


class PublishedV2(Published):
    int64 = {("V2beta1RecurringRun", "max_concurrency")}

    def allowed(self, kind: str) -> list[str] | None:
        return _TYPES["enums"].get(kind)

    def fields(self, kind: str) -> dict[str, str]:
        return _TYPES["models"][kind]


class ServerV2(Server):
    published = PublishedV2()

    def __init__(self, execute=None):
        super().__init__(execute)
        self.now: datetime.datetime
        self.generations = ["v2beta1"]

    def work(self) -> None:
        assert self.execute
        while self._waiting:
            run = self.runs[self._waiting.pop(0)]
            result = self.execute(run.pop("_manifest"), run["runtime_config"]["parameters"])
            run["state"] = result.phase.upper()
            run["run_details"] = {
                "task_details": [
                    {"display_name": step, "state": phase.upper()}
                    for step, phase in result.steps.items()
                ]
            }

    def tick(self, to: datetime.datetime) -> None:
        for job in self.jobs.values():
            cron = job["trigger"]["cron_schedule"]["cron"]
            after = self._fired.get(job["recurring_run_id"], self.now)
            due = until(croniter(cron, after, second_at_beginning=True), to)
            if due and job["status"] == "ENABLED":
                for _ in due[-1:] if job.get("no_catchup") else due:
                    own = ("experiment_id", "pipeline_version_reference", "runtime_config")
                    name = f"{job['display_name']} {len(self.runs)}"
                    self._start({**{key: job[key] for key in own}, "display_name": name})
            if due:
                self._fired[job["recurring_run_id"]] = due[-1]
        self.now = to

    def _routes(self):
        one = "([^/:]+)"
        return [
            ("GET", "healthz", set(), self._healthz),
            ("GET", "experiments", _PAGES | {"namespace"}, self._list_experiments),
            ("POST", "experiments", set(), self._create_experiment),
            ("POST", "pipelines/upload", {"name", "description", "namespace"}, self._upload),
            (
                "POST",
                "pipelines/upload_version",
                {"name", "pipelineid", "description"},
                self._upload_version,
            ),
            ("GET", f"pipelines/names/{one}", {"namespace"}, self._named),
            ("GET", f"pipelines/{one}/versions", _PAGES, self._versions_of),
            ("POST", "runs", {"experiment_id"}, self._create_run),
            ("GET", f"runs/{one}", {"experiment_id"}, self._get_run),
            (
                "GET",
                "recurringruns",
                _PAGES | {"namespace", "experiment_id"},
                self._list_recurring,
            ),
            ("POST", "recurringruns", set(), self._create_recurring),
            ("POST", f"recurringruns/{one}:(enable|disable)", set(), self._enable_job),
            ("DELETE", f"recurringruns/{one}", set(), self._delete_job),
        ]

    def _add(self, store: dict, key: str, item: dict) -> dict:
        kept = self._keep(store, item)
        store[kept["id"]][key] = kept["id"]
        del store[kept["id"]]["id"]
        return public(store[kept["id"]])

    def _list_experiments(self, query, body):
        if self.multi_user and not query.get("namespace"):
            raise Refused(400, "In multi-user mode, listing needs the namespace.")
        return page("experiments", list(self.experiments.values()), query)

    def _create_experiment(self, query, body):
        self._check(body, "V2beta1Experiment")
        return self._add(self.experiments, "experiment_id", body)

    def _upload(self, query, body):
        workflow(body)
        made = self._add(self.pipelines, "pipeline_id", {"display_name": query["name"]})
        self._version(query["name"], made["pipeline_id"], body)
        return made

    def _upload_version(self, query, body):
        workflow(body)
        if query["pipelineid"] not in self.pipelines:
            raise Refused(404, "Pipeline not found.")
        return self._version(query["name"], query["pipelineid"], body)

    def _version(self, name: str, pipeline: str, manifest: str) -> dict:
        item = {"display_name": name, "pipeline_id": pipeline, "_manifest": manifest}
        return self._add(self.versions, "pipeline_version_id", item)

    def _named(self, name, query, body):
        for item in self.pipelines.values():
            if item["display_name"] == name:
                return public(item)
        raise Refused(404, f"Pipeline {name} not found.")

    def _versions_of(self, pipeline, query, body):
        found = [item for item in self.versions.values() if item["pipeline_id"] == pipeline]
        return page("pipeline_versions", found, query)

    def _create_run(self, query, body):
        self._check(body, "V2beta1Run")
        return self._start(body)

    def _start(self, body: dict) -> dict:
        manifest = self._referred(body)
        item = {**public(body), "state": "PENDING", "_manifest": manifest}
        run = self._add(self.runs, "run_id", item)
        self._waiting.append(run["run_id"])
        return run

    def _referred(self, body: dict) -> str:
        if not body.get("display_name"):
            raise Refused(400, "The display name is empty.")
        if body.get("experiment_id") not in self.experiments:
            raise Refused(404, "Experiment not found.")
        reference = body.get("pipeline_version_reference", {})
        version = self.versions.get(reference.get("pipeline_version_id"))
        if version is None or version["pipeline_id"] != reference.get("pipeline_id"):
            raise Refused(404, "Pipeline version not found.")
        declared = yaml.safe_load(version["_manifest"])["spec"]["arguments"]["parameters"]
        for name in body["runtime_config"]["parameters"]:
            if name not in [known["name"] for known in declared]:
                raise Refused(400, f"Unrecognized input parameter: {name}.")
        return version["_manifest"]

    def _get_run(self, run, query, body):
        if run not in self.runs:
            raise Refused(404, f"Run {run} not found.")
        return public(self.runs[run])

    def _list_recurring(self, query, body):
        return page("recurringRuns", list(self.jobs.values()), query)

    def _create_recurring(self, query, body):
        self._check(body, "V2beta1RecurringRun")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refused(400, "The max concurrency is out of range.")
        cron = body.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        if len(cron.split()) != 6 or re.search("[A-Za-z#]", cron):
            raise Refused(400, f"Schedule cron is not a supported format: {cron}")
        self._referred(body)
        status = "ENABLED" if body["mode"] == "ENABLE" else "DISABLED"
        return self._add(self.jobs, "recurring_run_id", {**body, "status": status})

    def _enable_job(self, job, what, query, body):
        self._job(job)["status"] = "ENABLED" if what == "enable" else "DISABLED"
        return {}

    def _check(self, body: Any, kind: str) -> None:
        check(body, kind, kind, self.published)
