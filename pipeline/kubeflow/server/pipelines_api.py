"""Interface to a Kubeflow Pipelines server, the same for each generation of its API."""

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Protocol

PENDING, RUNNING, DONE, FAILED = "pending", "running", "done", "failed"
SKIPPED, CANCELED = "skipped", "canceled"
FINISHED = (DONE, FAILED, SKIPPED, CANCELED)
"""The final states."""


@dataclasses.dataclass(frozen=True)
class Named:
    """An experiment, pipeline or pipeline version."""

    id: str
    name: str


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a run, or one attempt at it.

    Attributes:
        state: one of the states above.
        message: the cluster's message, if the step failed and the API has one.
        tries: the number of attempts.
    """

    name: str
    state: str
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    message: str = ""
    tries: int = 1

    @property
    def seconds(self) -> float:
        """The step's duration; 0 if it has not started or not ended."""
        if self.started is None or self.finished is None:
            return 0.0
        return max((self.finished - self.started).total_seconds(), 0.0)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as the server reports it.

    Attributes:
        message: why the run failed, if the server says so.
        steps: all nodes of the run, including attempts and nodes that are not steps; see
            `tries.folded`.
        metrics: the metrics that the steps reported; None if the API has no metrics.
    """

    id: str
    name: str
    state: str
    message: str
    steps: Sequence[Step]
    metrics: Mapping[str, float] | None


@dataclasses.dataclass(frozen=True)
class RecurringRun:
    """A schedule.

    Attributes:
        cron: the cron expression with six fields; empty for a schedule with an interval.
        every: the interval in seconds; 0 for a schedule with a cron expression.
    """

    id: str
    name: str
    cron: str
    every: int
    enabled: bool


@dataclasses.dataclass(frozen=True)
class Order:
    """A request for a run or a recurring run.

    Attributes:
        name: the name of the run or recurring run.
        experiment, pipeline, version: their ids.
        parameters: values that replace the workflow's defaults, by name.
        service_account: the account that the steps run as; by default the server's own.
    """

    name: str
    experiment: str
    pipeline: str
    version: str
    parameters: Mapping[str, str]
    service_account: str | None = None


class PipelinesApi(Protocol):
    """One generation of the API of Kubeflow Pipelines.

    Every method raises `transport.ServerError`, with a message of one line, if the server cannot
    be reached or refuses the request.

    Attributes:
        generation: `v1beta1` or `v2beta1`.
        host: the beginning of the server's URLs.
        takes_parameters: whether a run of an Argo Workflow can have parameters of its own.
    """

    generation: str
    host: str
    takes_parameters: bool

    def experiments(self) -> list[Named]:
        """Returns the experiments of the namespace."""

    def create_experiment(self, name: str) -> Named:
        """Creates an experiment."""

    def pipeline(self, name: str) -> Named | None:
        """Returns the pipeline with this name, or None."""

    def create_pipeline(self, name: str, workflow: pathlib.Path) -> Named:
        """Creates a pipeline, from the workflow if the API cannot create an empty one."""

    def versions(self, pipeline: str) -> list[Named]:
        """Returns the versions of a pipeline, newest first."""

    def upload_version(self, pipeline: str, name: str, workflow: pathlib.Path) -> Named:
        """Uploads a workflow as a version of a pipeline."""

    def create_run(self, order: Order) -> str:
        """Starts a run and returns its id."""

    def run(self, run_id: str) -> Run:
        """Returns the current state of a run."""

    def recurring_runs(self) -> list[RecurringRun]:
        """Returns the schedules of the namespace."""

    def create_recurring_run(
        self, order: Order, cron: str, max_concurrency: int, catchup: bool
    ) -> str:
        """Creates a schedule from a cron expression with six fields and returns its id."""

    def pause(self, schedule: str) -> None:
        """Stops a schedule from firing."""

    def resume(self, schedule: str) -> None:
        """Lets a paused schedule fire again."""

    def delete(self, schedule: str) -> None:
        """Deletes a schedule; its runs stay."""


def by_name(name: str, key: str, operation: str) -> dict:
    """Returns the filter of a list request for one name; its keys differ between the APIs."""
    return {"predicates": [{operation: "EQUALS", "key": key, "stringValue": name}]}
