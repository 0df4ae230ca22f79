"""The state and actions of a Kubeflow Pipelines server, independent of the API's version."""

import dataclasses
import datetime
import json
import re
import threading
import uuid

from pipelines_server import argo, refusals, robfig
from pipelines_server.refusals import Refused
from pipelines_server.uploads import arguments, read_workflow


@dataclasses.dataclass
class Node:
    """The outcome of one task, as reported by the executor."""

    name: str
    phase: str = "Succeeded"
    message: str = ""
    seconds: float = 1.0  # per try
    failed_tries: tuple = ()  # messages of the tries before the last


@dataclasses.dataclass
class Result:
    """The outcome of a workflow, as reported by the executor."""

    phase: str = "Succeeded"
    nodes: list = dataclasses.field(default_factory=list)
    metrics: dict = dataclasses.field(default_factory=dict)
    message: str = ""


@dataclasses.dataclass
class Entry:
    """An object with an id."""

    id: str
    name: str
    created: datetime.datetime
    namespace: str = ""


@dataclasses.dataclass
class Version(Entry):
    pipeline: str = ""
    workflow: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Run(Entry):
    experiment: str = ""
    version: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    job: str = ""
    scheduled: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    workflow: dict = dataclasses.field(default_factory=dict)
    result: Result = dataclasses.field(default_factory=lambda: Result(phase="Running"))
    thread: threading.Thread | None = None


@dataclasses.dataclass
class Job(Entry):
    experiment: str = ""
    version: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    cron: str = ""
    every: int = 0
    enabled: bool = True
    max_concurrency: int = 1
    service_account: str = ""
    no_catchup: bool = False
    fired: int = 0
    last: datetime.datetime | None = None


class Cluster:
    """The state of the server, with its own clock and a function that runs workflows.

    Args:
        execute: takes the workflow as JSON text and the values of its parameters, and returns a
            `Result`; called in a new thread.
        now: the initial time of the clock.
        is_2x: whether it is Kubeflow Pipelines 2.x.
    """

    def __init__(self, execute, now, is_2x=False):
        self.execute, self.now, self.is_2x = execute, now, is_2x
        self.experiments, self.pipelines, self.versions = {}, {}, {}
        self.runs, self.jobs = {}, {}

    def find(self, kind, entry_id):
        entry = getattr(self, f"{kind}s").get(entry_id)
        if entry is None:
            raise refusals.not_found(kind, entry_id, self.is_2x)
        return entry

    def create_experiment(self, name, namespace=""):
        if not name:
            raise refusals.unnamed("experiment", self.is_2x)
        self._reserve("experiment", name, namespace=namespace)
        return self._keep("experiment", Entry, name=name, namespace=namespace)

    def create_pipeline(self, name, namespace=""):
        self._reserve("pipeline", name, namespace=namespace)
        return self._keep("pipeline", Entry, name=name, namespace=namespace)

    def create_version(self, pipeline_id, name, text):
        pipeline = self.find("pipeline", pipeline_id)
        self._reserve("version", name, pipeline=pipeline_id)
        return self._keep(
            "version",
            Version,
            name=name,
            namespace=pipeline.namespace,
            pipeline=pipeline_id,
            workflow=read_workflow(text),
        )

    def create_run(
        self,
        name,
        experiment_id,
        version_id,
        parameters,
        service_account="",
        job=None,
        scheduled=None,
    ):
        experiment = self.find("experiment", experiment_id)
        template = self.template(version_id)
        run = self._keep(
            "run",
            Run,
            name=name,
            namespace=experiment.namespace,
            experiment=experiment_id,
            version=version_id,
            parameters=dict(parameters),
            job=job or "",
            scheduled=scheduled or self.now,
        )
        try:
            run.workflow = self.with_parameters(template, parameters, run.id)
        except Refused:
            del self.runs[run.id]
            raise
        metadata = run.workflow.setdefault("metadata", {})
        metadata["name"] = name if job else metadata.get("generateName", "") + run.id[:5]
        # apiserver/template/template.go, setDefaultServiceAccount: a workflow's own account stays,
        # unless it is the default.
        spec = run.workflow["spec"]
        spec["serviceAccountName"] = (
            service_account or spec.get("serviceAccountName") or "pipeline-runner"
        )
        run.thread = threading.Thread(target=self._run, args=(run,))
        run.thread.start()
        return run

    def template(self, version_id, pipeline_id=""):
        """Returns the workflow of a version, which must belong to the pipeline, if one is given.

        apiserver/resource/resource_manager.go: CreateRun and CreateJob of 2.x hide the cause.
        """
        try:
            version = self.find("version", version_id)
            if pipeline_id not in ("", version.pipeline):
                raise refusals.other_pipeline(version, pipeline_id)
        except Refused as refused:
            raise refusals.internal(refused.details) if self.is_2x else refused from None
        return version.workflow

    def with_parameters(self, template, values, run_id):
        """Returns the workflow of a run, with its parameters and uid filled in.

        apiserver/template/argo_template.go, RunWorkflow; common/util/workflow.go,
        VerifyParameters and ReplaceUID.
        """
        unknown = [name for name in values if name not in arguments(template)]
        if unknown:
            raise refusals.unknown_parameter(unknown[0], self.is_2x)
        workflow = json.loads(json.dumps(template).replace("{{workflow.uid}}", run_id))
        for entry in workflow["spec"].get("arguments", {}).get("parameters", ()):
            entry["value"] = values.get(entry["name"], entry.get("value"))
        return workflow

    def create_job(self, name, experiment_id, version_id, parameters, **options):
        if not name:
            raise refusals.unnamed("job", self.is_2x)
        if not 1 <= options["max_concurrency"] <= 10:
            raise refusals.concurrency(options["max_concurrency"], self.is_2x)
        if options["cron"]:
            try:
                robfig.Schedule(options["cron"])
            except ValueError as error:
                raise refusals.cron(error) from None
        experiment = self.find("experiment", experiment_id)
        self.with_parameters(self.template(version_id), parameters, "")
        return self._keep(
            "job",
            Job,
            name=name,
            namespace=experiment.namespace,
            experiment=experiment_id,
            version=version_id,
            parameters=dict(parameters),
            **options,
        )

    def tick(self, to):
        """Moves the clock and fires due schedules; each run ends before the next starts.

        Returns the runs in order.
        """
        fired: list[Run] = []
        while True:
            due = {entry.id: self._due(entry) for entry in self.jobs.values() if entry.enabled}
            due = {entry: time for entry, time in due.items() if time is not None and time <= to}
            if not due:
                self.now = to
                return fired
            job = self.jobs[min(due, key=lambda entry: due[entry])]
            self.now = max(self.now, due[job.id])
            job.last = self._due(job)
            order = (
                self._name_of_next_run(job),
                job.experiment,
                job.version,
                job.parameters,
                job.service_account,
            )
            run = self.create_run(*order, job=job.id, scheduled=job.last)
            run.thread.join()
            fired.append(run)

    def _name_of_next_run(self, job):
        """Returns the name of a scheduled run, which is also its Workflow's name.

        apiserver/template/template.go, toSWFCRDResourceGeneratedName (and five letters by
        Kubernetes), and crd/controller/scheduledworkflow/util/scheduled_workflow.go,
        NextResourceName; 1.8.5 to 2.5.0.
        """
        letters = re.sub("[^a-z0-9-]+", "", job.name.lower()) or "job-"
        job.fired += 1
        name = f"{letters[:25]}{job.id[:5]}-{job.fired}"
        return f"{name}-{argo.fnv32a(name)}"

    def join(self):
        """Waits for all runs to end."""
        for run in list(self.runs.values()):
            run.thread.join()

    def _due(self, job):
        if job.cron:
            following = robfig.Schedule(job.cron).next
        else:
            step = datetime.timedelta(seconds=job.every)
            following = lambda time: time + step if step else None  # noqa: E731
        time = following(job.last or job.created)
        if job.no_catchup and time is not None:
            while (later := following(time)) is not None and later <= self.now:
                time = later
        return time

    def _run(self, run):
        parameters = arguments(run.workflow)
        try:
            run.result = self.execute(json.dumps(run.workflow), parameters)
        except Exception as error:  # otherwise it would be lost with the thread
            run.result = Result(phase="Error", message=repr(error))
        run.finished = self.now + datetime.timedelta(
            seconds=sum(node.seconds for node in run.result.nodes)
        )

    def _reserve(self, kind, name, **scope):
        """Raises `Refused` if the name is taken; MySQL compares names without case."""
        for entry in getattr(self, f"{kind}s").values():
            same = all(getattr(entry, field) == value for field, value in scope.items())
            if same and entry.name.casefold() == name.casefold():
                raise refusals.taken(kind, name, self.is_2x)

    def _keep(self, kind, entry_type, **fields):
        entry = entry_type(id=str(uuid.uuid4()), created=self.now, **fields)
        getattr(self, f"{kind}s")[entry.id] = entry
        return entry
