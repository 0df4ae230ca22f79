"""The v2beta1 API, as published, over the client library's connection.

kfp-server-api 2.x has the models of this API, but under the import name of the 1.x that Kubeflow's
compiler and TFX need; so the requests are written down here (backend/api/v2beta1 of
github.com/kubeflow/pipelines), and the library sends them, with its ways to authenticate.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import kfp
import kfp_server_api

from pipeline.errors import UserError
from pipeline.kubeflow.api import Run, Schedule, Version
from pipeline.kubeflow.connection import call

_ROOT = "/apis/v2beta1"
_PAGE = 100
_STATES = {
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "SKIPPED": "Skipped",
    "CANCELED": "Terminated",
    "PENDING": "Pending",
}


class ApiV2:
    """See `pipeline.kubeflow.api.Api`.

    Args:
        client: of the server.
        namespace: of experiments and recurring runs; None where there is but one.
        service_account: which runs run as.
    """

    def __init__(self, client: kfp.Client, namespace: str | None, service_account: str | None):
        self._client = client
        self._namespace = {"namespace": namespace} if namespace else {}
        self._account = {"service_account": service_account} if service_account else {}

    def experiments(self) -> dict[str, str]:
        """Ids of the experiments by name."""
        found = self._all("/experiments", "experiments", self._namespace)
        return {item["display_name"]: item["experiment_id"] for item in found}

    def create_experiment(self, name: str) -> str:
        """Makes an experiment; its id."""
        body = {"display_name": name, **self._namespace}
        return self._call("POST", "/experiments", body)["experiment_id"]

    def pipeline(self, name: str) -> str | None:
        """The id of a pipeline; None if there is none of this name."""
        try:
            found = self._call("GET", f"/pipelines/names/{name}", query=self._namespace)
        except kfp_server_api.ApiException as error:
            if error.status == 404:
                return None
            raise
        return found["pipeline_id"]

    def versions(self, pipeline: str) -> list[Version]:
        """All versions of a pipeline."""
        found = self._all(f"/pipelines/{pipeline}/versions", "pipeline_versions", {})
        return [Version(item["pipeline_version_id"], item["display_name"]) for item in found]

    def upload(self, file: pathlib.Path, name: str) -> tuple[str, Version]:
        """Uploads a new pipeline; its id and first version."""
        query = {"name": name, **self._namespace}
        made = self._call("POST", "/pipelines/upload", query=query, file=file)["pipeline_id"]
        return made, self.versions(made)[0]

    def upload_version(self, file: pathlib.Path, pipeline: str, name: str) -> Version:
        """Uploads a new version of a pipeline."""
        query = {"name": name, "pipelineid": pipeline}
        found = self._call("POST", "/pipelines/upload_version", query=query, file=file)
        return Version(found["pipeline_version_id"], found["display_name"])

    def start(
        self, experiment: str, name: str, pipeline: str, version: str, parameters: Mapping[str, str]
    ) -> str:
        """Starts a run; its id."""
        body = self._what_runs(experiment, name, pipeline, version, parameters)
        return self._call("POST", "/runs", body)["run_id"]

    def run(self, run: str) -> Run:
        """A run as it is now; this API tells no metrics."""
        found = self._call("GET", f"/runs/{run}")
        details = found.get("run_details", {}).get("task_details", [])
        steps = {item["display_name"]: _state(item) for item in details}
        error = found.get("error", {}).get("message", "")
        return Run(found["run_id"], found["display_name"], _state(found), {}, steps, error)

    def schedules(self) -> list[Schedule]:
        """All recurring runs."""
        return [
            Schedule(
                item["recurring_run_id"],
                item["display_name"],
                item.get("trigger", {}).get("cron_schedule", {}).get("cron", ""),
                item.get("status") == "ENABLED",
            )
            # The one field that the server writes otherwise than its published API.
            for item in self._all("/recurringruns", "recurringRuns", self._namespace)
        ]

    def create_schedule(
        self,
        experiment: str,
        name: str,
        pipeline: str,
        version: str,
        parameters: Mapping[str, str],
        cron: str,
    ) -> str:
        """Makes a recurring run with a six-field cron expression; its id.

        One at a time, and none is made up for after a pause: the next one sees all data anyway.
        """
        body = {
            **self._what_runs(experiment, name, pipeline, version, parameters),
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": "1",
            "no_catchup": True,
            "mode": "ENABLE",
        }
        return self._call("POST", "/recurringruns", body)["recurring_run_id"]

    def enable(self, schedule: str, enabled: bool) -> None:
        """Resumes or pauses a recurring run."""
        self._call("POST", f"/recurringruns/{schedule}:{'enable' if enabled else 'disable'}")

    def delete(self, schedule: str) -> None:
        """Deletes a recurring run."""
        self._call("DELETE", f"/recurringruns/{schedule}")

    def _what_runs(
        self, experiment: str, name: str, pipeline: str, version: str, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        if parameters:
            raise UserError(
                f"--param {next(iter(parameters))}: this server has the v2beta1 API alone, which "
                "hands no parameters to an Argo Workflow; set the configuration's key instead, as "
                "compile --set train.max_steps=500"
            )
        return {
            "display_name": name,
            "experiment_id": experiment,
            "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
            "runtime_config": {"parameters": {}},
            **self._account,
        }

    def _all(self, path: str, key: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The items of all pages."""
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = {**query, "page_size": str(_PAGE), "page_token": token}
            answer = self._call("GET", path, query=page)
            items += answer.get(key, [])
            token = answer.get("next_page_token", "")
            if not token:
                return items

    def _call(self, method: str, path: str, body: Any = None, **how: Any) -> dict[str, Any]:
        return call(self._client, method, f"{_ROOT}{path}", body, **how) or {}


def _state(item: Mapping[str, Any]) -> str:
    return _STATES.get(item.get("state", "PENDING"), "Running")
