"""A run of a pipeline, ours or TFX's template, that records the cost of each node.

    python benchmarks/measured_run.py ours DATA_FOLDER WORKSPACE NODES.json --set key=value
    python benchmarks/measured_run.py stock DATA_FOLDER WORKSPACE NODES.json --steps 1000

`pipeline.py` and `wide.py` start it in a separate process for every run.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import psutil

from pipeline.local import memory_bound

_LOOK_EVERY = 2.0
"""Seconds between looks; with several processes, a look takes a tenth of a second."""

NODES: dict[str, dict[str, float]] = {}


def observe() -> None:
    """Patches TFX's launcher to record wall time, CPU time and peak memory of each node."""
    from tfx.orchestration.portable import launcher

    launch = launcher.Launcher.launch

    def observed(self):
        wall, cpu = time.monotonic(), _cpu()
        try:
            with _Peak() as peak:
                return launch(self)
        finally:
            NODES[self._pipeline_node.node_info.id] = {
                "wall_s": round(time.monotonic() - wall, 2),
                "cpu_s": round(_cpu() - cpu, 2),
                "peak_rss_mb": peak.mb,
            }

    setattr(launcher.Launcher, "launch", observed)  # noqa: B010


def _cpu() -> float:
    """Returns the CPU seconds of this process and its descendants."""
    total = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


class _Peak:
    """Context manager that measures peak memory: this process's, or all processes' if higher.

    The former is exact; the latter is sampled.

    Attributes:
        mb: peak memory in MB.
    """

    def __init__(self):
        self.mb = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Peak":
        with contextlib.suppress(OSError):
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(self, *unused) -> None:
        self._over.set()
        self._thread.join()
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        peak_mb = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
        self.mb = max(self.mb, peak_mb)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self.mb = max(self.mb, memory_bound.held_mb(memory_bound.of_run()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["ours", "stock"])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("workspace", type=pathlib.Path)
    parser.add_argument("nodes", type=pathlib.Path)
    parser.add_argument("--config", type=pathlib.Path)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    arguments = parser.parse_args()
    arguments.workspace.mkdir(parents=True, exist_ok=True)
    observe()
    if arguments.which == "stock":
        from benchmarks import stock

        stock.run(arguments.data, arguments.workspace, arguments.steps, arguments.batch_size)
        code = 0
    else:
        from pipeline.console import command_line
        from pipeline.local import pipeline_run
        from pipeline.storage.workspace import Workspace

        config = command_line.load(arguments.config, arguments.settings)
        code = pipeline_run.run(config, Workspace(arguments.workspace.resolve()))
    arguments.nodes.write_text(json.dumps(NODES))
    return code


if __name__ == "__main__":
    sys.exit(main())
