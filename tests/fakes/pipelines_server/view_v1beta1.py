"""The API v1beta1 of Kubeflow Pipelines as a view of a cluster."""

import json

from pipelines_server import argo, refusals
from pipelines_server.refusals import INVALID, Refused
from pipelines_server.uploads import arguments, read_workflow


class V1Beta1:
    """The handlers of Kubeflow Pipelines 1.x, which 2.x also serves for compatibility."""

    def __init__(self, cluster):
        self.cluster = cluster

    def handlers(self):
        at = "/apis/v1beta1"
        return {
            ("GET", f"{at}/experiments"): self.list_experiments,
            ("POST", f"{at}/experiments"): self.create_experiment,
            ("GET", f"{at}/experiments/{{id}}"): self.get_experiment,
            ("GET", f"{at}/pipelines"): self.list_pipelines,
            ("POST", f"{at}/pipelines/upload"): self.upload_pipeline,
            ("POST", f"{at}/pipelines/upload_version"): self.upload_version,
            ("GET", f"{at}/pipeline_versions"): self.list_versions,
            ("POST", f"{at}/runs"): self.create_run,
            ("GET", f"{at}/runs/{{run_id}}"): self.get_run,
            ("GET", f"{at}/runs"): self.list_runs,
            (
                "GET",
                f"{at}/runs/{{run_id}}/nodes/{{node_id}}/artifacts/{{artifact_name}}:read",
            ): self.read_artifact,
            ("POST", f"{at}/jobs"): self.create_job,
            ("GET", f"{at}/jobs"): self.list_jobs,
            ("GET", f"{at}/jobs/{{id}}"): self.get_job,
            ("POST", f"{at}/jobs/{{id}}/enable"): lambda call: self._enable(call, True),
            ("POST", f"{at}/jobs/{{id}}/disable"): lambda call: self._enable(call, False),
            ("DELETE", f"{at}/jobs/{{id}}"): self.delete_job,
        }

    def list_experiments(self, call):
        return call.page("experiments", self._mine(call, "experiments"), self._experiment)

    def create_experiment(self, call):
        namespace = _referred(call.body, "NAMESPACE", "OWNER")
        call.allow(namespace)
        return self._experiment(
            self.cluster.create_experiment(call.body.get("name"), namespace or "")
        )

    def get_experiment(self, call):
        experiment = self.cluster.find("experiment", call.path["id"])
        call.allow(experiment.namespace)
        return self._experiment(experiment)

    def list_pipelines(self, call):
        return call.page("pipelines", list(self.cluster.pipelines.values()), self._pipeline)

    def upload_pipeline(self, call):
        name = call.query.get("name") or call.file_name
        read_workflow(call.file)
        made = self.cluster.create_pipeline(name)
        self.cluster.create_version(made.id, name, call.file)
        return self._pipeline(made)

    def upload_version(self, call):
        pipeline, name = call.query.get("pipelineid"), call.query.get("name") or call.file_name
        return self._version(self.cluster.create_version(pipeline, name, call.file))

    def list_versions(self, call):
        if call.query.get("resource_key.type") != "PIPELINE":
            raise Refused(INVALID, "ListPipelineVersions needs a pipeline as resource key")
        pipeline = self.cluster.find("pipeline", call.query.get("resource_key.id"))
        versions = [v for v in self.cluster.versions.values() if v.pipeline == pipeline.id]
        return call.page("versions", versions, self._version)

    def create_run(self, call):
        account = call.body.get("service_account", "")
        run = self.cluster.create_run(call.body.get("name"), *self._order(call), account)
        return {"run": self._run(run), "pipeline_runtime": self._runtime(run)}

    def get_run(self, call):
        run = self.cluster.find("run", call.path["run_id"])
        call.allow(run.namespace)
        return {"run": self._run(run), "pipeline_runtime": self._runtime(run)}

    def list_runs(self, call):
        return call.page("runs", self._mine(call, "runs"), self._run)

    def read_artifact(self, call):
        """apiserver/resource/resource_manager.go, ResolveArtifactPath: by the node's own id."""
        run = self.cluster.find("run", call.path["run_id"])
        call.allow(run.namespace)
        node, name = call.path["node_id"], call.path["artifact_name"]
        if node != argo.metrics_node(run) or name != argo.METRICS:
            path = f"runs/{run.id}/nodes/{node}/artifacts/{name}"
            raise refusals.not_found("artifact", path, self.cluster.is_2x)
        return {"data": argo.metrics_archive(run.result.metrics)}

    def create_job(self, call):
        body = call.body
        trigger = body.get("trigger", {})
        job = self.cluster.create_job(
            body.get("name"),
            *self._order(call),
            cron=trigger.get("cron_schedule", {}).get("cron", ""),
            every=int(trigger.get("periodic_schedule", {}).get("interval_second", 0)),
            enabled=body.get("enabled", False),
            max_concurrency=int(body.get("max_concurrency", 0)),
            no_catchup=body.get("no_catchup", False),
            service_account=body.get("service_account", ""),
        )
        return self._job(job)

    def list_jobs(self, call):
        return call.page("jobs", self._mine(call, "jobs"), self._job)

    def get_job(self, call):
        job = self.cluster.find("job", call.path["id"])
        call.allow(job.namespace)
        return self._job(job)

    def delete_job(self, call):
        self.get_job(call)
        del self.cluster.jobs[call.path["id"]]
        return {}

    def _enable(self, call, enabled):
        self.get_job(call)
        self.cluster.jobs[call.path["id"]].enabled = enabled
        return {}

    def _mine(self, call, kind):
        """Returns the entries selected by the query's resource reference."""
        key = call.query.get("resource_reference_key.type")
        value = call.query.get("resource_reference_key.id")
        every = list(getattr(self.cluster, kind).values())
        if key == "EXPERIMENT":
            call.allow(self.cluster.find("experiment", value).namespace)
            return [entry for entry in every if entry.experiment == value]
        return call.of_namespace(every, value if key == "NAMESPACE" and value else None)

    def _order(self, call):
        body = call.body
        experiment = call.experiment(_referred(body, "EXPERIMENT", "OWNER"))
        version = _referred(body, "PIPELINE_VERSION", "CREATOR")
        spec = body.get("pipeline_spec", {})
        if not version and spec.get("workflow_manifest"):
            name = str(len(self.cluster.versions))
            made = self.cluster.create_pipeline(f"unnamed {name}")
            version = self.cluster.create_version(made.id, name, spec["workflow_manifest"]).id
        if not version:
            raise refusals.no_source(self.cluster.is_2x)
        values = {entry["name"]: entry.get("value", "") for entry in spec.get("parameters", ())}
        return experiment, version, values

    def _experiment(self, entry):
        return {
            "id": entry.id,
            "name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "resource_references": _owner("NAMESPACE", entry.namespace),
            "storage_state": "STORAGESTATE_AVAILABLE",
        }

    def _pipeline(self, entry):
        versions = [v for v in self.cluster.versions.values() if v.pipeline == entry.id]
        default = self._version(versions[-1]) if versions else {}
        return {
            "id": entry.id,
            "name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "parameters": default.get("parameters"),
            "default_version": default,
        }

    def _version(self, entry):
        values = arguments(entry.workflow).items()
        return {
            "id": entry.id,
            "name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "parameters": [{"name": name, "value": value} for name, value in values],
            "resource_references": _owner("PIPELINE", entry.pipeline),
        }

    def _run(self, entry):
        return {
            "id": entry.id,
            "name": entry.name,
            "status": entry.result.phase,
            "created_at": argo.rfc3339(entry.created),
            "scheduled_at": argo.rfc3339(entry.scheduled),
            "finished_at": argo.rfc3339(entry.finished)
            if entry.finished
            else "1970-01-01T00:00:00Z",
            "pipeline_spec": {"parameters": _parameters(entry.parameters)},
            "resource_references": [
                *_owner("EXPERIMENT", entry.experiment),
                *_owner("PIPELINE_VERSION", entry.version, "CREATOR"),
                *_owner("JOB", entry.job, "CREATOR"),
            ],
            "metrics": self._metrics(entry),
        }

    def _metrics(self, entry):
        """Returns what the persistence agent has reported, which from 2.2 on is nothing.

        common/util/workflow.go, readNodeMetricsOrNil, asks for an artifact of the node by the name
        of its pod (2.2.0 to 2.14.3), or agent/persistence/client/artifactclient/client.go asks for
        it below /apis/v1beta1/apis/v1beta1 (2.15.0 to 2.17.0): not found, in both cases.
        """
        if self.cluster.is_2x:
            return []
        node = argo.metrics_node(entry)
        return [
            {"name": name, "node_id": node, "number_value": value, "format": "RAW"}
            for name, value in entry.result.metrics.items()
        ]

    def _runtime(self, entry):
        return {"workflow_manifest": json.dumps(argo.with_status(entry))}

    def _job(self, entry):
        if entry.cron:
            trigger = {"cron_schedule": {"cron": entry.cron}}
        else:
            trigger = {"periodic_schedule": {"interval_second": str(entry.every)}}
        return {
            "id": entry.id,
            "name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "enabled": entry.enabled,
            "mode": "ENABLED" if entry.enabled else "DISABLED",
            "status": "Enabled" if entry.enabled else "Disabled",
            "max_concurrency": str(entry.max_concurrency),
            "no_catchup": entry.no_catchup,
            "trigger": trigger,
            "pipeline_spec": {"parameters": _parameters(entry.parameters)},
            "resource_references": [
                *_owner("EXPERIMENT", entry.experiment),
                *_owner("PIPELINE_VERSION", entry.version, "CREATOR"),
            ],
        }


def _referred(body, kind, relationship):
    for entry in body.get("resource_references", ()):
        if (entry["key"]["type"], entry.get("relationship")) == (kind, relationship):
            return entry["key"]["id"]
    return ""


def _owner(kind, entry_id, relationship="OWNER"):
    if not entry_id:
        return []
    return [{"key": {"type": kind, "id": entry_id}, "relationship": relationship}]


def _parameters(values):
    return [{"name": name, "value": value} for name, value in values.items()]
