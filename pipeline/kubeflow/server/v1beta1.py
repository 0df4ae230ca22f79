"""The API of Kubeflow Pipelines 1.x, which 2.x servers still serve, through its client library."""

import datetime
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import kfp_server_api as kfp
from dateutil import parser

from pipeline.kubeflow.output_names import METRICS
from pipeline.kubeflow.server import pipelines_api, run_metrics
from pipeline.kubeflow.server.transport import ServerError

_STATES = {
    "": pipelines_api.PENDING,
    "pending": pipelines_api.PENDING,
    "running": pipelines_api.RUNNING,
    "terminating": pipelines_api.RUNNING,
    "succeeded": pipelines_api.DONE,
    "failed": pipelines_api.FAILED,
    "error": pipelines_api.FAILED,
    "skipped": pipelines_api.SKIPPED,
    "omitted": pipelines_api.SKIPPED,
    "terminated": pipelines_api.CANCELED,
    "canceled": pipelines_api.CANCELED,
    "cancelled": pipelines_api.CANCELED,
}
_PAGE = 100


class V1Beta1:
    """The v1beta1 API, as `pipelines_api.PipelinesApi`.

    Args:
        client: a client of the library.
        namespace: the user's namespace on a multi-user server, else None.
    """

    generation = "v1beta1"
    takes_parameters = True

    def __init__(self, client: kfp.ApiClient, namespace: str | None):
        self.host = client.configuration.host
        self._namespace = namespace
        self._experiments = kfp.ExperimentServiceApi(client)
        self._pipelines = kfp.PipelineServiceApi(client)
        self._uploads = kfp.PipelineUploadServiceApi(client)
        self._runs = kfp.RunServiceApi(client)
        self._jobs = kfp.JobServiceApi(client)

    def experiments(self) -> list[pipelines_api.Named]:
        """See `pipelines_api.PipelinesApi`."""
        experiments = _all(self._experiments.list_experiment, "experiments", **self._mine())
        return [pipelines_api.Named(experiment.id, experiment.name) for experiment in experiments]

    def create_experiment(self, name: str) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        owner = [_reference("NAMESPACE", self._namespace)] if self._namespace else None
        body = kfp.ApiExperiment(name=name, resource_references=owner)
        experiment = self._experiments.create_experiment(body=body)
        return pipelines_api.Named(experiment.id, experiment.name)

    def pipeline(self, name: str) -> pipelines_api.Named | None:
        """See `pipelines_api.PipelinesApi`."""
        only = json.dumps(pipelines_api.by_name(name, key="name", operation="op"))
        pipelines = self._pipelines.list_pipelines(filter=only).pipelines or []
        return pipelines_api.Named(pipelines[0].id, pipelines[0].name) if pipelines else None

    def create_pipeline(self, name: str, workflow: pathlib.Path) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        pipeline = self._uploads.upload_pipeline(str(workflow), name=name)
        return pipelines_api.Named(pipeline.id, pipeline.name)

    def versions(self, pipeline: str) -> list[pipelines_api.Named]:
        """See `pipelines_api.PipelinesApi`."""
        versions = _all(
            self._pipelines.list_pipeline_versions,
            "versions",
            resource_key_type=kfp.ApiResourceType.PIPELINE,
            resource_key_id=pipeline,
            sort_by="created_at desc",
        )
        return [pipelines_api.Named(version.id, version.name) for version in versions]

    def upload_version(
        self, pipeline: str, name: str, workflow: pathlib.Path
    ) -> pipelines_api.Named:
        """See `pipelines_api.PipelinesApi`."""
        version = self._uploads.upload_pipeline_version(
            str(workflow), name=name, pipelineid=pipeline
        )
        return pipelines_api.Named(version.id, version.name)

    def create_run(self, order: pipelines_api.Order) -> str:
        """See `pipelines_api.PipelinesApi`."""
        body = kfp.ApiRun(
            name=order.name,
            pipeline_spec=_spec(order),
            resource_references=_references(order),
            service_account=order.service_account,
        )
        return self._runs.create_run(body=body).run.id

    def run(self, run_id: str) -> pipelines_api.Run:
        """See `pipelines_api.PipelinesApi`."""
        detail = self._runs.get_run(run_id=run_id)
        manifest = detail.pipeline_runtime and detail.pipeline_runtime.workflow_manifest
        status = json.loads(manifest).get("status", {}) if manifest else {}
        nodes = (status.get("nodes") or {}).values()
        state = _state(detail.run.status)
        metrics = {metric.name: metric.number_value for metric in detail.run.metrics or ()}
        if state == pipelines_api.DONE:
            known = {metric.node_id for metric in detail.run.metrics or ()}
            for node_id in run_metrics.writers(nodes):
                if node_id not in known:
                    metrics = self._read_metrics(run_id, node_id) | metrics
        return pipelines_api.Run(
            id=run_id,
            name=detail.run.name,
            state=state,
            message=detail.run.error or status.get("message") or "",
            steps=[_step(node) for node in nodes],
            metrics=metrics,
        )

    def _read_metrics(self, run_id: str, node_id: str) -> dict[str, float]:
        """Returns the metrics that a node has written; none if they cannot be read."""
        try:
            return run_metrics.read(self._runs.read_artifact(run_id, node_id, METRICS).data or "")
        except ServerError as error:
            if error.passing:
                raise
        except ValueError:
            pass  # the step has written something else
        return {}

    def recurring_runs(self) -> list[pipelines_api.RecurringRun]:
        """See `pipelines_api.PipelinesApi`."""
        return [_recurring(job) for job in _all(self._jobs.list_jobs, "jobs", **self._mine())]

    def create_recurring_run(
        self, order: pipelines_api.Order, cron: str, max_concurrency: int, catchup: bool
    ) -> str:
        """See `pipelines_api.PipelinesApi`."""
        body = kfp.ApiJob(
            name=order.name,
            pipeline_spec=_spec(order),
            resource_references=_references(order),
            service_account=order.service_account,
            trigger=kfp.ApiTrigger(cron_schedule=kfp.ApiCronSchedule(cron=cron)),
            max_concurrency=str(max_concurrency),
            no_catchup=not catchup,
            enabled=True,
        )
        return self._jobs.create_job(body=body).id

    def pause(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._jobs.disable_job(id=schedule)

    def resume(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._jobs.enable_job(id=schedule)

    def delete(self, schedule: str) -> None:
        """See `pipelines_api.PipelinesApi`."""
        self._jobs.delete_job(id=schedule)

    def _mine(self) -> dict[str, str]:
        if not self._namespace:
            return {}
        return {
            "resource_reference_key_type": kfp.ApiResourceType.NAMESPACE,
            "resource_reference_key_id": self._namespace,
        }


def _all(fetch: Callable[..., Any], field: str, **options: str) -> Iterator[Any]:
    token = ""
    while True:
        page = fetch(page_size=_PAGE, page_token=token, **options)
        yield from getattr(page, field) or ()
        token = page.next_page_token
        if not token:
            return


def _spec(order: pipelines_api.Order) -> kfp.ApiPipelineSpec:
    parameters = [kfp.ApiParameter(name=k, value=v) for k, v in order.parameters.items()]
    return kfp.ApiPipelineSpec(parameters=parameters)


def _references(order: pipelines_api.Order) -> list[kfp.ApiResourceReference]:
    return [
        _reference("EXPERIMENT", order.experiment),
        _reference("PIPELINE_VERSION", order.version, "CREATOR"),
    ]


def _reference(kind: str, object_id: str, relationship: str = "OWNER") -> kfp.ApiResourceReference:
    key = kfp.ApiResourceKey(type=kind, id=object_id)
    return kfp.ApiResourceReference(key=key, relationship=relationship)


def _recurring(job: kfp.ApiJob) -> pipelines_api.RecurringRun:
    cron = job.trigger and job.trigger.cron_schedule
    period = job.trigger and job.trigger.periodic_schedule
    return pipelines_api.RecurringRun(
        id=job.id,
        name=job.name,
        cron=cron.cron if cron else "",
        every=int(period.interval_second) if period else 0,
        enabled=bool(job.enabled),
    )


def _step(node: dict[str, Any]) -> pipelines_api.Step:
    return pipelines_api.Step(
        name=node.get("displayName", ""),
        state=_state(node.get("phase")),
        started=_time(node.get("startedAt")),
        finished=_time(node.get("finishedAt")),
        message=node.get("message", ""),
    )


def _state(status: str | None) -> str:
    # An unknown state is not a final one.
    return _STATES.get((status or "").lower(), pipelines_api.RUNNING)


def _time(text: str | None) -> datetime.datetime | None:
    return parser.isoparse(text) if text else None
