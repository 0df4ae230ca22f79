"""The v1beta1 API, through Kubeflow Pipelines' own client library."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import kfp
import kfp_server_api

from pipeline.kubeflow.api import Run, Schedule, Version

_PAGE = 100


class ApiV1:
    """See `pipeline.kubeflow.api.Api`.

    Args:
        client: of the server.
        namespace: of experiments and recurring runs; None where there is but one.
        service_account: which runs run as.
    """

    def __init__(self, client: kfp.Client, namespace: str | None, service_account: str | None):
        self._client = client
        self._namespace = namespace
        self._service_account = service_account
        self._in_namespace = (
            {"resource_reference_key_type": "NAMESPACE", "resource_reference_key_id": namespace}
            if namespace
            else {}
        )

    def experiments(self) -> dict[str, str]:
        """Ids of the experiments by name."""
        api = self._client._experiment_api
        found = _all(lambda page: api.list_experiment(**page, **self._in_namespace), "experiments")
        return {item.name: item.id for item in found}

    def create_experiment(self, name: str) -> str:
        """Makes an experiment; its id."""
        body: dict[str, Any] = {"name": name}
        if self._namespace:
            key = kfp_server_api.ApiResourceKey(type="NAMESPACE", id=self._namespace)
            reference = kfp_server_api.ApiResourceReference(key=key, relationship="OWNER")
            body["resource_references"] = [reference]
        experiment = kfp_server_api.ApiExperiment(**body)
        return self._client._experiment_api.create_experiment(body=experiment).id

    def pipeline(self, name: str) -> str | None:
        """The id of a pipeline; None if there is none of this name."""
        return self._client.get_pipeline_id(name)

    def versions(self, pipeline: str) -> list[Version]:
        """All versions of a pipeline."""
        found = _all(lambda page: self._client.list_pipeline_versions(pipeline, **page), "versions")
        return [Version(item.id, item.name) for item in found]

    def upload(self, file: pathlib.Path, name: str) -> tuple[str, Version]:
        """Uploads a new pipeline; its id and first version."""
        found = self._client.upload_pipeline(str(file), name)
        return found.id, Version(found.default_version.id, found.default_version.name)

    def upload_version(self, file: pathlib.Path, pipeline: str, name: str) -> Version:
        """Uploads a new version of a pipeline."""
        found = self._client.upload_pipeline_version(str(file), name, pipeline_id=pipeline)
        return Version(found.id, found.name)

    def start(
        self, experiment: str, name: str, pipeline: str, version: str, parameters: Mapping[str, str]
    ) -> str:
        """Starts a run; its id."""
        return self._client.run_pipeline(
            experiment,
            name,
            params=dict(parameters),
            version_id=version,
            service_account=self._service_account,
        ).id

    def run(self, run: str) -> Run:
        """A run as it is now."""
        found = self._client.get_run(run)
        metrics = {item.name: item.number_value for item in found.run.metrics or []}
        manifest = json.loads(found.pipeline_runtime.workflow_manifest or "{}")
        nodes = manifest.get("status", {}).get("nodes", {}).values()
        steps = {node["displayName"]: node["phase"] for node in nodes if node.get("type") == "Pod"}
        state = found.run.status or "Pending"
        return Run(found.run.id, found.run.name, state, metrics, steps, found.run.error or "")

    def schedules(self) -> list[Schedule]:
        """All recurring runs."""
        api = self._client._job_api
        found = _all(lambda page: api.list_jobs(**page, **self._in_namespace), "jobs")
        return [
            Schedule(
                job.id,
                job.name,
                job.trigger.cron_schedule.cron if job.trigger.cron_schedule else "",
                bool(job.enabled),
            )
            for job in found
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
        return self._client.create_recurring_run(
            experiment,
            name,
            cron_expression=cron,
            max_concurrency=1,
            no_catchup=True,
            params=dict(parameters),
            version_id=version,
            service_account=self._service_account,
        ).id

    def enable(self, schedule: str, enabled: bool) -> None:
        """Resumes or pauses a recurring run."""
        api = self._client._job_api
        (api.enable_job if enabled else api.disable_job)(schedule)

    def delete(self, schedule: str) -> None:
        """Deletes a recurring run."""
        self._client.delete_job(schedule)


def _all(ask: Callable[[dict[str, Any]], Any], key: str) -> list[Any]:
    """The items of all pages."""
    items: list[Any] = []
    token = ""
    while True:
        answer = ask({"page_size": _PAGE, "page_token": token})
        items += getattr(answer, key) or []
        token = answer.next_page_token
        if not token:
            return items
