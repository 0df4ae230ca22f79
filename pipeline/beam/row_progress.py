"""Reports how many rows a step has read so far, and how long the rest will take.

Our readers count rows in Beam's metrics. Beam's in-process runner reports those only at the end of
a stage; stages of `pipeline.beam.runner` can be asked at any time.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.portability.api import beam_fn_api_pb2

from components.example_io import counters
from pipeline.beam import workers

_REPORT_EVERY = 0.5
"""Seconds between reports."""


@dataclasses.dataclass(frozen=True)
class Counted:
    """The row counts of a step.

    Attributes:
        read: rows read; a row that the step reads twice counts twice.
        expected: rows that the step will read, if it finds that out while it runs.
    """

    read: int = 0
    expected: int = 0

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(self.read + other.read, self.expected + other.expected)


# Module globals, because Beam creates its runners by name and so cannot pass them an object.
_of_ended_stages = Counted()
_of_bundles: dict[str, Counted] = {}
_stage: Any = None


@contextlib.contextmanager
def watching_stage(stage: Any) -> Iterator[Callable[[Iterable[Any]], None]]:
    """Context manager: makes the row counts of a running Beam stage available to reports.

    Yields:
        A function to be called with the final monitoring infos of the stage.
    """
    global _stage
    _stage = stage
    try:
        yield _ended
    finally:
        _stage = None


def _ended(infos: Iterable[Any]) -> None:
    global _of_ended_stages, _stage
    _stage = None
    _of_bundles.clear()
    _of_ended_stages += _counted(infos)


@contextlib.contextmanager
def reporting(report: Callable[[str], None], to_read: int = 0) -> Iterator[None]:
    """Context manager: reports the rows read, regularly and once more at the end.

    Args:
        report: called with a text such as `1,200,000 of 3,000,000 rows, 40 s left`.
        to_read: the number of rows that the step will read; 0 if the step finds that out itself.
    """
    global _of_ended_stages
    _of_ended_stages = Counted()
    over = threading.Event()
    reporter = threading.Thread(target=_report, args=[report, to_read, over], daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()
    if _of_ended_stages.read:
        report(f"{_of_ended_stages.read:,} rows")


def _report(report: Callable[[str], None], to_read: int, over: threading.Event) -> None:
    first: tuple[float, int] | None = None
    while not over.wait(_REPORT_EVERY):
        now, counted = time.monotonic(), _now()
        read, total = counted.read, to_read or counted.expected
        if not read:
            continue
        first = first or (now, read)
        text = f"{read:,} rows"
        if first[1] < read <= total:
            left = (now - first[0]) / (read - first[1]) * (total - read)
            text = f"{read:,} of {total:,} rows, {left:.0f} s left"
        report(text)


def _now() -> Counted:
    stage = _stage
    for handler in stage.worker_handlers if stage is not None else ():
        for instruction in _at_work(handler):
            request = beam_fn_api_pb2.InstructionRequest(
                process_bundle_progress=beam_fn_api_pb2.ProcessBundleProgressRequest(
                    instruction_id=instruction
                )
            )
            answer = handler.control_conn.push(request).get()
            # A worker that has finished its bundle no longer reports anything about it.
            infos = answer.process_bundle_progress.monitoring_infos
            if infos and _stage is stage:
                _of_bundles[instruction] = _counted(infos)
    return sum(list(_of_bundles.values()), _of_ended_stages)


def _at_work(handler: Any) -> list[str]:
    if isinstance(handler, workers.Handler):
        return [handler.at_work] if handler.at_work else []
    return list(handler.bundle_processor_cache.active_bundle_processors)


def _counted(infos: Iterable[Any]) -> Counted:
    counted = Counted()
    for info in infos:
        name = info.labels.get(monitoring_infos.NAME_LABEL, "")
        if name == counters.EXPECTED:
            counted += Counted(expected=monitoring_infos.extract_counter_value(info))
        elif name == counters.READ:
            counted += Counted(read=monitoring_infos.extract_counter_value(info))
    return counted
