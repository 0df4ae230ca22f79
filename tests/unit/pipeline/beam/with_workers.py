"""Program that runs Beam steps on two workers, for test_workers.py."""

import json
import os
import pathlib
import signal
import sys
import time
from typing import Any

import apache_beam as beam

from components.example_io import counters
from models.errors import UserError
from pipeline.beam import patches, row_progress, workers
from pipeline.config.beam_config import Beam
from pipeline.graph import beam_args

ELEMENTS = list(range(8))


def wait_for(path: pathlib.Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.002)


class Listed(beam.CombineFn):
    """A combiner of all elements into a list, in the order of arrival."""

    def create_accumulator(self) -> list:
        return []

    def add_input(self, accumulator, element):
        return [*accumulator, element]

    def merge_accumulators(self, accumulators):
        return [element for accumulator in accumulators for element in accumulator]

    def extract_output(self, accumulator):
        return accumulator


class Meets(beam.DoFn):
    """A DoFn that waits for the other worker to begin too; worker `last` also waits for its end."""

    def __init__(self, folder: pathlib.Path, last: int):
        self._folder, self._last = folder, last

    def process(self, element):
        # Elements go to the two workers alternately.
        (self._folder / f"began-{element % 2}").touch()
        wait_for(self._folder / f"began-{1 - element % 2}")
        counters.read(1)
        if element % 2 == self._last:
            wait_for(self._folder / f"done-{1 - self._last}")
        elif element >= ELEMENTS[-2]:
            (self._folder / f"done-{element % 2}").touch()
        yield element, os.getpid()


def run(folder: pathlib.Path, name: str, step: Any) -> Any:
    """Runs a step on `ELEMENTS`; returns its outputs in order."""
    path = folder / f"{name}.json"
    with beam.Pipeline(argv=beam_args.for_components(Beam())) as pipeline:
        _ = (
            pipeline
            | beam.Create(ELEMENTS)
            | step
            | beam.CombineGlobally(Listed())
            | "Keep" >> beam.Map(lambda results: path.write_text(json.dumps(results)))
        )
    return json.loads(path.read_text())


def meet(folder: pathlib.Path, last: int) -> list:
    path = folder / f"last-{last}"
    path.mkdir()
    return run(path, "found", beam.ParDo(Meets(path, last)))


def kill_worker(element: int) -> int:
    if element == ELEMENTS[-1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return element


def kill_server(element: int) -> int:
    if element == ELEMENTS[-1]:
        os.kill(os.getppid(), signal.SIGKILL)
    return element


def fail(element: int) -> int:
    if element == ELEMENTS[-1]:
        raise UserError(f"element {element} is bad")
    return element


def refused(folder: pathlib.Path, name: str, do: Any) -> str:
    try:
        run(folder, name, beam.Map(do))
    except Exception as error:
        return str(error)
    return ""


def main(folder: pathlib.Path) -> None:
    reports: list[str] = []
    arguments = beam_args.for_components(Beam())
    with patches.applied(arguments), workers.ready(2):
        results: dict[str, Any] = {"pid": os.getpid()}
        with row_progress.reporting(reports.append, len(ELEMENTS)):
            results["first last"] = meet(folder, 0)
        results["report"] = reports[-1]
        results["second last"] = meet(folder, 1)
        results["killed"] = refused(folder, "killed", kill_worker)
        results["failed"] = refused(folder, "failed", fail)
        results["after"] = run(folder, "after", beam.Map(lambda element: element + 1))
        results["server killed"] = refused(folder, "server", kill_server)
        results["without a server"] = refused(folder, "none", lambda element: element)
    results["alone"] = run(folder, "alone", beam.Map(lambda element: os.getpid()))
    print(json.dumps(results))


def hang(folder: pathlib.Path) -> None:
    """Runs a step whose workers report that they are at work, then wait forever."""

    def wait(element: int) -> None:
        os.write(sys.stdout.fileno(), b"at work\n")
        wait_for(folder / "never")

    with workers.ready(2):
        run(folder, "hang", beam.Map(wait))


if __name__ == "__main__":
    {"main": main, "hang": hang}[sys.argv[1]](pathlib.Path(sys.argv[2]))
