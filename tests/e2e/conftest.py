"""Whole pipelines on a small part of the real table; each run is a separate process."""

import dataclasses
import pathlib
import signal
import subprocess
import sys
import time

import forks
import pandas as pd
import pytest
import yaml

REPOSITORY = pathlib.Path(__file__).parents[2]
KING_COUNTY = REPOSITORY / "data" / "king_county"
ROWS = 4000
SMALL = {"members": 4, "hidden": [64, 32], "learning_rate": 0.01}
"""Parameters of `tabm` for a model that learns enough in 200 steps."""

NODES = (
    "TableExampleGen",
    "StatisticsGen",
    "CuratedSchema",
    "ExampleValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "ServingCheck",
    "Baseline",
    "Evaluator",
    "Pusher",
)
"""Nodes of the default pipeline, in its order."""

STEPS = tuple(name.lower() for name in NODES)
"""Steps of its compiled workflow."""


@dataclasses.dataclass
class Problem:
    """A problem's configuration and workspace, and the command line for them."""

    config: pathlib.Path
    workspace: pathlib.Path

    def command(self, name: str, *arguments: str) -> list[str]:
        runner = [sys.executable, str(REPOSITORY / "local_runner.py"), name]
        return [*runner, "-c", str(self.config), "-w", str(self.workspace), *arguments]

    def call(self, name: str, *arguments: str, fresh: bool = False) -> subprocess.CompletedProcess:
        """Runs a command to its end, in a forked process or in a fresh one; see `forks`."""
        command = self.command(name, *arguments)
        if fresh:
            return subprocess.run(command, capture_output=True, text=True, timeout=600)
        return forks.run(command[1:], forks.PIPELINE)

    def run(self, *settings: str, code: int = 0, fresh: bool = False) -> str:
        """Runs the pipeline with settings; checks its exit code and returns its output."""
        arguments = [argument for setting in settings for argument in ("--set", setting)]
        done = self.call("run", *arguments, fresh=fresh)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def predict(self, source: pathlib.Path, target: pathlib.Path) -> subprocess.CompletedProcess:
        return self.call("predict", "--csv", str(source), "--out", str(target))

    def start(self, *settings: str) -> subprocess.Popen:
        arguments = [argument for setting in settings for argument in ("--set", setting)]
        return subprocess.Popen(self.command("run", *arguments), stdout=subprocess.PIPE, text=True)

    @property
    def versions(self) -> list[str]:
        serving = self.workspace / "serving"
        return sorted(path.name for path in serving.glob("[0-9]*"))


def states(output: str) -> dict[str, str]:
    """Parses the state of each node from the output of a run."""
    words = [line.split() for line in output.splitlines()]
    known = {"done", "cached", "failed"}
    return {line[0]: line[1] for line in words if len(line) > 2 and line[1] in known}


@pytest.fixture(scope="session")
def houses() -> pd.DataFrame:
    """Returns part of the table, with all houses sold twice, to exercise the split key."""
    table = pd.read_csv(KING_COUNTY / "kc_house_data.csv")
    twice = table[table.id.duplicated(keep=False)]
    rest = table.drop(twice.index).sample(ROWS - len(twice), random_state=0)
    return pd.concat([twice, rest]).sample(frac=1, random_state=1)


def problem(folder: pathlib.Path, settings: dict) -> Problem:
    config = folder / "pipeline.yaml"
    config.write_text(yaml.safe_dump(settings))
    return Problem(config, folder / "workspace")


@pytest.fixture(scope="session")
def king_county(houses, tmp_path_factory) -> Problem:
    """Returns the shipped problem with looser gates, fewer rows, slices and steps, a smaller model.

    The 70 slices by zip code would take half of the Evaluator's time.
    """
    folder = tmp_path_factory.mktemp("king_county")
    houses.to_csv(folder / "kc_house_data.csv", index=False)
    (folder / "schema.pbtxt").write_text((KING_COUNTY / "schema.pbtxt").read_text())
    settings = yaml.safe_load((KING_COUNTY / "pipeline.yaml").read_text())
    settings["model"]["params"] = SMALL
    settings["train"].update(max_steps=200, evaluate_every=100)
    settings["slices"] = [part for part in settings["slices"] if part["column"] != "zipcode"]
    settings["gates"] = {
        "rmse": {"at_most": 250_000, "may_worsen_by": 0.05},
        "skill": {"at_least": 0.5},
    }
    return problem(folder, settings)


def wait_for(condition, process: subprocess.Popen, seconds: int = 600):
    """Polls until the condition holds and returns its value; fails if the process ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the process ended before: {process.communicate()}")
    raise AssertionError(f"waited for {seconds} s")


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
