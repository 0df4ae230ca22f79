"""What is asked of a Kubeflow Pipelines server, the same for both generations of its API."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Protocol

ENDED_WELL = ("Succeeded",)
ENDED_BADLY = ("Failed", "Error", "Skipped", "Terminated")


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of an uploaded pipeline."""

    id: str
    name: str


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        state: as Argo calls it: Pending, Running, Succeeded, Failed, Error, Skipped, Terminated.
        metrics: numbers by name, as far as the server tells them.
        steps: the state of each step, as far as the server tells it.
        error: why it failed.
    """

    id: str
    name: str
    state: str
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    steps: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A recurring run."""

    id: str
    name: str
    cron: str
    enabled: bool


class Api(Protocol):
    """One generation."""

    def experiments(self) -> dict[str, str]:
        """Ids of the experiments by name."""

    def create_experiment(self, name: str) -> str:
        """Makes an experiment; its id."""

    def pipeline(self, name: str) -> str | None:
        """The id of a pipeline; None if there is none of this name."""

    def versions(self, pipeline: str) -> list[Version]:
        """All versions of a pipeline."""

    def upload(self, file: pathlib.Path, name: str) -> tuple[str, Version]:
        """Uploads a new pipeline; its id and first version."""

    def upload_version(self, file: pathlib.Path, pipeline: str, name: str) -> Version:
        """Uploads a new version of a pipeline."""

    def start(
        self, experiment: str, name: str, pipeline: str, version: str, parameters: Mapping[str, str]
    ) -> str:
        """Starts a run; its id."""

    def run(self, run: str) -> Run:
        """A run as it is now."""

    def schedules(self) -> list[Schedule]:
        """All recurring runs."""

    def create_schedule(
        self,
        experiment: str,
        name: str,
        pipeline: str,
        version: str,
        parameters: Mapping[str, str],
        cron: str,
    ) -> str:
        """Makes a recurring run with a six-field cron expression; its id."""

    def enable(self, schedule: str, enabled: bool) -> None:
        """Resumes or pauses a recurring run."""

    def delete(self, schedule: str) -> None:
        """Deletes a recurring run."""
