"""What the commands need of a Kubeflow Pipelines server, whichever generation of API it serves."""

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Protocol

PENDING, RUNNING, DONE, FAILED = "pending", "running", "done", "failed"
SKIPPED, CANCELED = "skipped", "canceled"
FINISHED = (DONE, FAILED, SKIPPED, CANCELED)
"""The states after which nothing changes."""


@dataclasses.dataclass(frozen=True)
class Named:
    """An experiment, pipeline or pipeline version."""

    id: str
    name: str


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a run, or one try of it.

    Attributes:
        state: of the states above.
        message: what the cluster says of it, where it failed and the API tells.
        tries: how often it was begun.
    """

    name: str
    state: str
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    message: str = ""
    tries: int = 1

    @property
    def seconds(self) -> float:
        """How long it took."""
        if self.started is None or self.finished is None:
            return 0.0
        return max((self.finished - self.started).total_seconds(), 0.0)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as the server tells it.

    Attributes:
        message: why it failed, where the server says so.
        steps: also what is no step, and each try beside its step, see `tries.folded`.
        metrics: what its steps reported; none where the API has no metrics.
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
        cron: the expression, of six fields; empty for one by intervals.
        every: the interval in seconds; 0 for one by cron.
    """

    id: str
    name: str
    cron: str
    every: int
    enabled: bool


@dataclasses.dataclass(frozen=True)
class Order:
    """What to run, where.

    Attributes:
        name: of the run or recurring run.
        experiment, pipeline, version: ids.
        parameters: values of the workflow's parameters, where they differ from its own.
        service_account: which the steps run as; by default the server's own.
    """

    name: str
    experiment: str
    pipeline: str
    version: str
    parameters: Mapping[str, str]
    service_account: str | None = None


class PipelinesApi(Protocol):
    """One generation of the API of Kubeflow Pipelines.

    Every method raises `transport.ServerError`, in one line, where the server cannot be reached or
    refuses.

    Attributes:
        generation: `v1beta1` or `v2beta1`.
        host: as URLs begin.
        takes_parameters: whether a run of an Argo Workflow can have parameters of its own.
    """

    generation: str
    host: str
    takes_parameters: bool

    def experiments(self) -> list[Named]:
        """The experiments of the namespace."""

    def create_experiment(self, name: str) -> Named:
        """Makes one."""

    def pipeline(self, name: str) -> Named | None:
        """The pipeline of that name, if there is one."""

    def create_pipeline(self, name: str, workflow: pathlib.Path) -> Named:
        """Makes a pipeline; an API that cannot make an empty one gives it the workflow."""

    def versions(self, pipeline: str) -> list[Named]:
        """The versions of a pipeline, the newest first."""

    def upload_version(self, pipeline: str, name: str, workflow: pathlib.Path) -> Named:
        """Uploads a workflow as a version of a pipeline."""

    def create_run(self, order: Order) -> str:
        """Starts a run; its id."""

    def run(self, run_id: str) -> Run:
        """How far a run is."""

    def recurring_runs(self) -> list[RecurringRun]:
        """The schedules of the namespace."""

    def create_recurring_run(
        self, order: Order, cron: str, max_concurrency: int, catchup: bool
    ) -> str:
        """Makes a schedule by a cron expression of six fields; its id."""

    def pause(self, schedule: str) -> None:
        """Stops a schedule from firing."""

    def resume(self, schedule: str) -> None:
        """Lets a paused schedule fire again."""

    def delete(self, schedule: str) -> None:
        """Removes a schedule; its runs stay."""


def by_name(name: str, key: str, operation: str) -> dict:
    """The filter of a list request, for one name; the generations call its parts differently."""
    return {"predicates": [{operation: "EQUALS", "key": key, "stringValue": name}]}
