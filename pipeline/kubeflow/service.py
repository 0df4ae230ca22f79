"""The commands that talk to a Kubeflow Pipelines server: submit, schedule, schedules."""

import datetime
import hashlib
import pathlib
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from pipeline import screen
from pipeline.config import Config
from pipeline.errors import FAILED, NOT_BLESSED, OK, UserError, nearest
from pipeline.kubeflow import cron as cron_lib
from pipeline.kubeflow.api import ENDED_BADLY, ENDED_WELL, Api, Run, Schedule
from pipeline.kubeflow.api_v1 import ApiV1
from pipeline.kubeflow.api_v2 import ApiV2
from pipeline.kubeflow.connection import V1, V2, Connection
from pipeline.kubeflow.executor.workflow import Workflow

BLESSED = "blessed"  # pipeline.kubeflow.step.BLESSED
_SHOWN_TIME = "%Y-%m-%d %H:%M"


class Service:
    """A server, and what can be asked of it for one problem.

    Args:
        config: with a `kubeflow` section.
        connection: where the server is, and who asks.
        console: for what is said.

    Raises:
        UserError: the server does not answer.
    """

    def __init__(self, config: Config, connection: Connection, console: Console):
        assert config.kubeflow
        self._config = config
        self._connection = connection
        self._console = console
        client = connection.client()
        kinds: dict[str, type[ApiV1] | type[ApiV2]] = {V1: ApiV1, V2: ApiV2}
        kind = kinds[connection.generation(client)]
        account = config.kubeflow.service_account
        self._api: Api = kind(client, connection.namespace, account)

    def submit(
        self,
        file: pathlib.Path,
        parameters: Mapping[str, str],
        experiment: str | None,
        name: str | None,
        create_experiment: bool = False,
    ) -> str:
        """Uploads the workflow, unless it is there, and starts a run of it.

        Args:
            file: the compiled workflow.
            parameters: other values than the workflow's own.
            experiment: for the run; by default the pipeline's own, which is made if need be.
            name: of the run; by default the pipeline's with the time.
            create_experiment: whether a named experiment that does not exist is made.

        Returns:
            The run's id.

        Raises:
            UserError: what was asked for does not exist, or the server refuses.
        """
        Workflow.load(file).parameters(parameters)
        name = name or f"{self._config.name} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        with self._connection.explained():
            group = self._experiment(experiment, create_experiment)
            pipeline, version = self._upload(file)
            run = self._api.start(group, name, pipeline, version, parameters)
        self._say(f"run {name}: {run}")
        if self._connection.host:
            self._say(f"{self._connection.host.rstrip('/')}/#/runs/details/{run}")
        return run

    def follow(self, run: str, seconds: float, pause: Callable[[float], None] = time.sleep) -> int:
        """Waits for a run's end, and tells of every step that starts or ends.

        Args:
            run: its id.
            seconds: between two looks.
            pause: waits.

        Returns:
            An exit code of `pipeline.errors`: the run's verdict.
        """
        told: dict[str, str] = {}
        while True:
            with self._connection.explained():
                found = self._api.run(run)
            for step, state in found.steps.items():
                if told.get(step) != state:
                    self._say(f"{step:<20} {state}")
            told = dict(found.steps)
            if found.state in (*ENDED_WELL, *ENDED_BADLY):
                return self._verdict(found)
            pause(seconds)

    def schedule(
        self,
        file: pathlib.Path,
        cron: str,
        parameters: Mapping[str, str],
        experiment: str | None,
        name: str | None,
        create_experiment: bool = False,
        now: datetime.datetime | None = None,
    ) -> str:
        """Makes a recurring run of the workflow; tells when it fires next.

        Args:
            file: the compiled workflow.
            cron: five fields.
            parameters: other values than the workflow's own.
            experiment: see `submit`.
            name: of the recurring run; by default the pipeline's.
            create_experiment: see `submit`.
            now: for the firing times.

        Returns:
            The recurring run's id.

        Raises:
            UserError: the name is taken, or see `submit` and `cron.six_fields`.
        """
        six = cron_lib.six_fields(cron)
        Workflow.load(file).parameters(parameters)
        name = name or self._config.name
        with self._connection.explained():
            taken = [item for item in self._api.schedules() if item.name == name]
            if taken:
                raise UserError(
                    f"--name {name}: taken by the recurring run {taken[0].id}; choose another, or "
                    f"remove that one with `schedules delete {name}`"
                )
            group = self._experiment(experiment, create_experiment)
            pipeline, version = self._upload(file)
            made = self._api.create_schedule(group, name, pipeline, version, parameters, six)
        self._say(f"recurring run {name}: {made}")
        self._say(f"cron, seconds first: {six}")
        self._say("next, in the server's time, which is UTC unless it was set up otherwise:")
        after = now or datetime.datetime.now(datetime.timezone.utc)
        for moment in cron_lib.firing_times(six, after):
            self._say(f"  {moment:{_SHOWN_TIME}}")
        return made

    def show_schedules(self, now: datetime.datetime | None = None) -> None:
        """Prints all recurring runs."""
        with self._connection.explained():
            found = self._api.schedules()
        if not found:
            self._say("no recurring runs")
            return
        table = Table("name", "cron, seconds first", "enabled", "next", "id", box=None)
        after = now or datetime.datetime.now(datetime.timezone.utc)
        for item in found:
            following = ""
            if item.enabled and item.cron:
                following = f"{cron_lib.firing_times(item.cron, after, 1)[0]:{_SHOWN_TIME}}"
            table.add_row(item.name, item.cron, "yes" if item.enabled else "no", following, item.id)
        if not self._console.is_terminal:
            self._console.width = 200
        self._console.print(table)

    def pause(self, name: str) -> None:
        """Pauses a recurring run, by its name or id."""
        self._change(name, lambda item: self._api.enable(item.id, False), "paused")

    def resume(self, name: str) -> None:
        """Resumes a recurring run, by its name or id."""
        self._change(name, lambda item: self._api.enable(item.id, True), "resumed")

    def delete(self, name: str) -> None:
        """Deletes a recurring run, by its name or id; its runs stay."""
        self._change(name, lambda item: self._api.delete(item.id), "deleted")

    def _change(self, name: str, change: Callable[[Schedule], None], done: str) -> None:
        with self._connection.explained():
            found = self._api.schedules()
            meant = [item for item in found if name in (item.id, item.name)]
            if not meant:
                known = nearest(name, [item.name for item in found])
                raise UserError(f"{name}: no such recurring run{known}")
            if len(meant) > 1:
                ids = ", ".join(item.id for item in meant)
                raise UserError(f"{name}: there are several recurring runs; name one of: {ids}")
            change(meant[0])
        self._say(f"{meant[0].name}: {done}")

    def _experiment(self, name: str | None, create: bool) -> str:
        known = self._api.experiments()
        wanted = name or self._config.name
        if wanted in known:
            return known[wanted]
        if name is not None and not create:
            raise UserError(
                f"--experiment {name}: no such experiment{nearest(name, known)}; add "
                "--create-experiment to make it"
            )
        self._say(f"experiment {wanted}: new")
        return self._api.create_experiment(wanted)

    def _upload(self, file: pathlib.Path) -> tuple[str, str]:
        """The ids of the pipeline and of the version that is this file, which may be there."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        name = self._config.name
        pipeline = self._api.pipeline(name)
        if pipeline is None:
            pipeline, _ = self._api.upload(file, name)
        for version in self._api.versions(pipeline):
            if version.name.endswith(digest):
                self._say(f"pipeline {name}: version {version.name} is there already")
                return pipeline, version.id
        version = self._api.upload_version(file, pipeline, f"{name} {digest}")
        self._say(f"pipeline {name}: uploaded version {version.name}")
        return pipeline, version.id

    def _verdict(self, run: Run) -> int:
        if run.state not in ENDED_WELL:
            self._say(f"[bold red]{run.state}[/]: {run.error or 'see the run in the UI'}")
            return FAILED
        if BLESSED not in run.metrics:
            self._say("Succeeded; whether the model was blessed is not among the run's metrics")
            return OK
        if run.metrics[BLESSED]:
            self._say("[bold green]Blessed[/] and pushed")
            return OK
        self._say("[bold red]Not blessed[/], so not pushed; the Evaluator's page says why")
        return NOT_BLESSED

    def _say(self, text: str) -> None:
        screen.say(self._console, text)
