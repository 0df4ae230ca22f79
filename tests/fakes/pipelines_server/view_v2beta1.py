"""The API v2beta1 of Kubeflow Pipelines as a view of a cluster."""

import uuid

from pipelines_server import argo
from pipelines_server.uploads import read_workflow


class V2Beta1:
    """The handlers of Kubeflow Pipelines 2.x.

    The tasks of a run are what backend/src/common/util/workflow.go (NodeStatuses) takes from Argo's
    nodes and apiserver/server/api_converter.go (toApiPipelineTaskDetail, 2.0.0 to 2.5.0) passes on:
    no types, no messages, and the nodes that follow as `child_tasks`. A run has an error only if it
    could not be converted (toApiRun).
    """

    STATES = {
        "Running": "RUNNING",
        "Pending": "PENDING",
        "Succeeded": "SUCCEEDED",
        "Failed": "FAILED",
        "Error": "FAILED",
        "Skipped": "SKIPPED",
    }

    def __init__(self, cluster):
        self.cluster = cluster

    def handlers(self):
        at = "/apis/v2beta1"
        run, job = "{run_id}", "{recurring_run_id}"
        return {
            ("GET", f"{at}/experiments"): self.list_experiments,
            ("POST", f"{at}/experiments"): self.create_experiment,
            ("GET", f"{at}/experiments/{{experiment_id}}"): self.get_experiment,
            ("GET", f"{at}/pipelines"): self.list_pipelines,
            ("POST", f"{at}/pipelines"): self.create_pipeline,
            ("POST", f"{at}/pipelines/upload"): self.upload_pipeline,
            ("POST", f"{at}/pipelines/upload_version"): self.upload_version,
            ("GET", f"{at}/pipelines/{{pipeline_id}}/versions"): self.list_versions,
            ("POST", f"{at}/runs"): self.create_run,
            ("GET", f"{at}/runs/{run}"): self.get_run,
            ("POST", f"{at}/recurringruns"): self.create_job,
            ("GET", f"{at}/recurringruns"): self.list_jobs,
            ("GET", f"{at}/recurringruns/{job}"): self.get_job,
            ("POST", f"{at}/recurringruns/{job}:enable"): lambda call: self._enable(call, True),
            ("POST", f"{at}/recurringruns/{job}:disable"): lambda call: self._enable(call, False),
            ("DELETE", f"{at}/recurringruns/{job}"): self.delete_job,
        }

    def list_experiments(self, call):
        return call.page("experiments", self._mine(call, "experiments"), self._experiment)

    def create_experiment(self, call):
        namespace = call.body.get("namespace", "")
        call.allow(namespace)
        return self._experiment(
            self.cluster.create_experiment(call.body.get("display_name"), namespace)
        )

    def get_experiment(self, call):
        experiment = self.cluster.find("experiment", call.path["experiment_id"])
        call.allow(experiment.namespace)
        return self._experiment(experiment)

    def list_pipelines(self, call):
        return call.page("pipelines", self._mine(call, "pipelines"), self._pipeline)

    def create_pipeline(self, call):
        namespace = call.body.get("namespace", "")
        call.allow(namespace)
        return self._pipeline(
            self.cluster.create_pipeline(call.body.get("display_name"), namespace)
        )

    def upload_pipeline(self, call):
        name = call.query.get("name") or call.file_name
        read_workflow(call.file)
        made = self.cluster.create_pipeline(name, call.query.get("namespace", ""))
        self.cluster.create_version(made.id, name, call.file)
        return self._pipeline(made)

    def upload_version(self, call):
        pipeline, name = call.query.get("pipelineid"), call.query.get("name") or call.file_name
        return self._version(self.cluster.create_version(pipeline, name, call.file))

    def list_versions(self, call):
        pipeline = self.cluster.find("pipeline", call.path["pipeline_id"])
        versions = [v for v in self.cluster.versions.values() if v.pipeline == pipeline.id]
        return call.page("pipeline_versions", versions, self._version)

    def create_run(self, call):
        account = call.body.get("service_account", "")
        name = call.body.get("display_name")
        return self._run(self.cluster.create_run(name, *self._order(call), account))

    def get_run(self, call):
        run = self.cluster.find("run", call.path["run_id"])
        call.allow(run.namespace)
        return self._run(run)

    def create_job(self, call):
        body = call.body
        trigger = body.get("trigger", {})
        job = self.cluster.create_job(
            body.get("display_name"),
            *self._order(call),
            cron=trigger.get("cron_schedule", {}).get("cron", ""),
            every=int(trigger.get("periodic_schedule", {}).get("interval_second", 0)),
            enabled=body.get("mode") == "ENABLE",
            max_concurrency=int(body.get("max_concurrency", 0)),
            no_catchup=body.get("no_catchup", False),
            service_account=body.get("service_account", ""),
        )
        return self._job(job)

    def list_jobs(self, call):
        return call.page("recurringRuns", self._mine(call, "jobs"), self._job)

    def get_job(self, call):
        job = self.cluster.find("job", call.path["recurring_run_id"])
        call.allow(job.namespace)
        return self._job(job)

    def delete_job(self, call):
        self.get_job(call)
        del self.cluster.jobs[call.path["recurring_run_id"]]
        return {}

    def _enable(self, call, enabled):
        self.get_job(call)
        self.cluster.jobs[call.path["recurring_run_id"]].enabled = enabled
        return {}

    def _mine(self, call, kind):
        every = list(getattr(self.cluster, kind).values())
        return call.of_namespace(every, call.query.get("namespace"))

    def _order(self, call):
        experiment = call.experiment(call.body.get("experiment_id"))
        reference = call.body.get("pipeline_version_reference", {})
        version = reference.get("pipeline_version_id", "")
        self.cluster.template(version, reference.get("pipeline_id", ""))
        # As on the real server, runtime_config does not reach an Argo Workflow.
        return experiment, version, {}

    def _experiment(self, entry):
        return {
            "experiment_id": entry.id,
            "display_name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "namespace": entry.namespace,
            "storage_state": "AVAILABLE",
        }

    def _pipeline(self, entry):
        return {
            "pipeline_id": entry.id,
            "display_name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "namespace": entry.namespace,
        }

    def _version(self, entry):
        return {
            "pipeline_id": entry.pipeline,
            "pipeline_version_id": entry.id,
            "display_name": entry.name,
            "created_at": argo.rfc3339(entry.created),
            "pipeline_spec": entry.workflow,
        }

    def _run(self, entry):
        tasks = [
            {
                "run_id": entry.id,
                "task_id": str(uuid.uuid5(uuid.NAMESPACE_OID, key)),
                "display_name": node["displayName"],
                # Phases without a counterpart, such as Omitted, are unspecified and so left out.
                "state": self.STATES.get(node["phase"]),
                "create_time": node["startedAt"],
                "start_time": node["startedAt"],
                "end_time": node["finishedAt"] or "0001-01-01T00:00:00Z",
                "child_tasks": [{"pod_name": child} for child in node.get("children", ())],
            }
            for key, node in argo.with_status(entry)["status"]["nodes"].items()
        ]
        return {
            "run_id": entry.id,
            "display_name": entry.name,
            "experiment_id": entry.experiment,
            "recurring_run_id": entry.job,
            "state": self.STATES[entry.result.phase],
            "created_at": argo.rfc3339(entry.created),
            "scheduled_at": argo.rfc3339(entry.scheduled),
            "finished_at": argo.rfc3339(entry.finished)
            if entry.finished
            else "1970-01-01T00:00:00Z",
            "pipeline_version_reference": self._reference(entry),
            "run_details": {"task_details": tasks},
        }

    def _job(self, entry):
        if entry.cron:
            trigger = {"cron_schedule": {"cron": entry.cron}}
        else:
            trigger = {"periodic_schedule": {"interval_second": str(entry.every)}}
        return {
            "recurring_run_id": entry.id,
            "display_name": entry.name,
            "experiment_id": entry.experiment,
            "created_at": argo.rfc3339(entry.created),
            "status": "ENABLED" if entry.enabled else "DISABLED",
            "mode": "ENABLE" if entry.enabled else "DISABLE",
            "max_concurrency": str(entry.max_concurrency),
            "no_catchup": entry.no_catchup,
            "namespace": entry.namespace,
            "trigger": trigger,
            "pipeline_version_reference": self._reference(entry),
        }

    def _reference(self, entry):
        version = self.cluster.versions[entry.version]
        return {"pipeline_id": version.pipeline, "pipeline_version_id": version.id}
