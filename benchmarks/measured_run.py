"""One run of a pipeline, ours or TFX's template, that writes down what each node cost.

    python benchmarks/measured_run.py ours DATA_FOLDER WORKSPACE NODES.json --set key=value
    python benchmarks/measured_run.py stock DATA_FOLDER WORKSPACE NODES.json --steps 1000

`pipeline.py` starts it in a process of its own for every repetition.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

NODES: dict[str, dict[str, float]] = {}


def observe() -> None:
    """Has TFX's launcher note wall and CPU seconds and the peak of memory of each node."""
    from tfx.orchestration.portable import launcher

    launch = launcher.Launcher.launch

    def observed(self):
        _reset_peak()
        wall, cpu = time.monotonic(), _cpu()
        try:
            return launch(self)
        finally:
            NODES[self._pipeline_node.node_info.id] = {
                "wall_s": round(time.monotonic() - wall, 2),
                "cpu_s": round(_cpu() - cpu, 2),
                "peak_rss_mb": _peak_mb(),
            }

    setattr(launcher.Launcher, "launch", observed)  # noqa: B010


def _cpu() -> float:
    return sum(os.times()[:4])


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


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
        from pipeline import command_line, local
        from pipeline.workspace import Workspace

        config = command_line.load(arguments.config, arguments.settings)
        code = local.run(config, Workspace(arguments.workspace.resolve()))
    arguments.nodes.write_text(json.dumps(NODES))
    return code


if __name__ == "__main__":
    sys.exit(main())
