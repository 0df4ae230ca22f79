"""The API of Kubeflow Pipelines 2.x, in plain JSON.

Its client library has the same import name as the 1.x library and cannot be installed beside it, so
requests go through the 1.x library's generic client.

A 2.x server passes only v1 parameters to an Argo Workflow, which this API cannot express, and
silently ignores `runtime_config`: parameters must be in the workflow itself.
"""

import datetime
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import kfp_server_api as kfp
from dateutil import parser

from pipeline.kubeflow.server import pipelines_api

_ABSENT = "RUNTIME_STATE_UNSPECIFIED"
_STATES = {
    _ABSENT: pipelines_api.PENDING,
    "PENDING": pipelines_api.PENDING,
    "RUNNING": pipelines_api.RUNNING,
    "PAUSED": pipelines_api.RUNNING,
    "CANCELING": pipelines_api.RUNNING,
    "SUCCEEDED": pipelines_api.DONE,
    "FAILED": pipelines_api.FAILED,
    "SKIPPED": pipelines_api.SKIPPED,
    "CANCELED": pipelines_api.CANCELED,
}
_PAGE = 100


class V2Beta1:
    """The v2beta1 API, as `pipelines_api.PipelinesApi`.

    Args:
        client: a client of the 1.x library.
        namespace: the user's namespace on a multi-user server, else None.
    """

    generation = "v2beta1"
    takes_parameters = False

    def __init__(self, client: kfp.ApiClient, namespace: str | None):
        self.host = client.configuration.host
        self._client = client
        self._mine = {"namespace": namespace} if namespace else {}

    def experiments(self) -> list[pipelines_api.Named]:
        """See `pipelines_api.PipelinesApi`."""
        experiments = self._all("experiments", "experiments", **self._mine)
        return [
            pipelines_api.Named(experiment["experiment_id"], experiment["display_name"])
            for experiment in experiments
        ]

    def create_experiment(self, name: str) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        experiment = self._call("POST", "experiments", body={"display_name": name, **self._mine})
        return pipelines_api.Named(experiment["experiment_id"], experiment["display_name"])

    def pipeline(self, name: str) -> pipelines_api.Named | None:
        """See `pipelines_api.PipelinesApi`."""
        only = json.dumps(pipelines_api.by_name(name, key="display_name", operation="operation"))
        pipeline = next(self._all("pipelines", "pipelines", filter=only, **self._mine), None)
        return (
            pipelines_api.Named(pipeline["pipeline_id"], pipeline["display_name"])
            if pipeline
            else None
        )

    def create_pipeline(self, name: str, workflow: pathlib.Path) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        pipeline = self._call("POST", "pipelines", body={"display_name": name, **self._mine})
        return pipelines_api.Named(pipeline["pipeline_id"], pipeline["display_name"])

    def versions(self, pipeline: str) -> list[pipelines_api.Named]:
        """See `pipelines_api.PipelinesApi`."""
        path, newest_first = f"pipelines/{pipeline}/versions", "created_at desc"
        versions = self._all(path, "pipeline_versions", sort_by=newest_first)
        return [
            pipelines_api.Named(version["pipeline_version_id"], version["display_name"])
            for version in versions
        ]

    def upload_version(
        self, pipeline: str, name: str, workflow: pathlib.Path
    ) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        version = self._call(
            "POST",
            "pipelines/upload_version",
            query={"name": name, "pipelineid": pipeline},
            upload=workflow,
        )
        return pipelines_api.Named(version["pipeline_version_id"], version["display_name"])

    def create_run(self, order: pipelines_api.Order) -> str:
        """See `pipelines_api.PipelinesApi`."""
        return self._call("POST", "runs", body=_ordered(order))["run_id"]

    def run(self, run_id: str) -> pipelines_api.Run:
        """See `pipelines_api.PipelinesApi`."""
        run = self._call("GET", f"runs/{run_id}")
        tasks = run.get("run_details", {}).get("task_details") or ()
        state = _state(run.get("state"))
        # The API leaves out states it lacks, such as Argo's "Omitted" for steps that never started.
        absent = pipelines_api.SKIPPED if state in pipelines_api.FINISHED else pipelines_api.PENDING
        return pipelines_api.Run(
            id=run_id,
            name=run["display_name"],
            state=state,
            message=run.get("error", {}).get("message", ""),
            # Not their `child_tasks`: an Argo node's children follow it and are not parts of it.
            steps=[_step(task, absent) for task in tasks],
            metrics=None,
        )

    def recurring_runs(self) -> list[pipelines_api.RecurringRun]:
        """See `pipelines_api.PipelinesApi`."""
        recurring_runs = self._all("recurringruns", "recurringRuns", **self._mine)
        return [_recurring(recurring) for recurring in recurring_runs]

    def create_recurring_run(
        self, order: pipelines_api.Order, cron: str, max_concurrency: int, catchup: bool
    ) -> str:
        """See `pipelines_api.PipelinesApi`."""
        body = {
            **_ordered(order),
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": str(max_concurrency),
            "no_catchup": not catchup,
            "mode": "ENABLE",
        }
        return self._call("POST", "recurringruns", body=body)["recurring_run_id"]

    def pause(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._call("POST", f"recurringruns/{schedule}:disable")

    def resume(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._call("POST", f"recurringruns/{schedule}:enable")

    def delete(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._call("DELETE", f"recurringruns/{schedule}")

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        upload: pathlib.Path | None = None,
    ) -> dict[str, Any]:
        kind = "multipart/form-data" if upload else "application/json"
        return self._client.call_api(
            f"/apis/v2beta1/{path}",
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            files={"uploadfile": str(upload)} if upload else None,
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
        )

    def _all(self, path: str, field: str, **query: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._call("GET", path, {"page_size": str(_PAGE), "page_token": token, **query})
            yield from page.get(field) or ()
            token = page.get("next_page_token", "")
            if not token:
                return


def _ordered(order: pipelines_api.Order) -> dict[str, Any]:
    reference = {"pipeline_id": order.pipeline, "pipeline_version_id": order.version}
    account = {"service_account": order.service_account} if order.service_account else {}
    return {
        **account,
        "display_name": order.name,
        "experiment_id": order.experiment,
        "pipeline_version_reference": reference,
    }


def _recurring(run: dict[str, Any]) -> pipelines_api.RecurringRun:
    trigger = run.get("trigger", {})
    return pipelines_api.RecurringRun(
        id=run["recurring_run_id"],
        name=run["display_name"],
        cron=trigger.get("cron_schedule", {}).get("cron", ""),
        every=int(trigger.get("periodic_schedule", {}).get("interval_second", 0)),
        enabled=run.get("status") == "ENABLED",
    )


def _step(task: dict[str, Any], absent: str) -> pipelines_api.Step:
    return pipelines_api.Step(
        name=task.get("display_name", ""),
        state=absent if task.get("state", _ABSENT) == _ABSENT else _state(task["state"]),
        started=_time(task.get("start_time")),
        finished=_time(task.get("end_time")),
        message=task.get("error", {}).get("message", ""),
    )


def _state(state: str | None) -> str:
    # An unknown state is not a final one.
    return _STATES.get(state or _ABSENT, pipelines_api.RUNNING)


def _time(text: str | None) -> datetime.datetime | None:
    # The API gives the year 1 as the end of what has not ended.
    return parser.isoparse(text) if text and not text.startswith("0001-") else None
