"""Records of benchmarks: JSON files with the figures and the machine they were measured on."""

import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

_PACKAGES = (
    "tensorflow",
    "tfx",
    "apache-beam",
    "scikit-learn",
    "lightgbm",
    "catboost",
    "numpy",
    "pyarrow",
    "pandas",
)


class Record:
    """Repetitions by dataset, model and seed, in a JSON file that is replaced atomically.

    Attributes:
        repetitions: mappings with `dataset`, `model`, `seed`, `scores` (by metric, lower is
            better), `train_seconds`, `steps_per_second` and more.
    """

    def __init__(self, path: pathlib.Path, command: str, references: Sequence[str]):
        """Reads the file if it exists.

        Args:
            path: path of the file.
            command: command that makes the repetitions of this run.
            references: names of the models that the others are compared with.
        """
        self._path = path
        self._command = command
        self._references = references
        content = json.loads(path.read_text()) if path.exists() else {}
        self.repetitions: list[dict[str, Any]] = content.get("repetitions", [])

    def find(self, dataset: str, model: str, seed: int) -> dict[str, Any] | None:
        """Returns a repetition, or None if it is not finished."""
        key = (dataset, model, seed)
        return next((r for r in self.repetitions if _key(r) == key), None)

    def remove(self, datasets: Sequence[str], models: Sequence[str]) -> None:
        """Removes repetitions of the models on the datasets; the next `add` updates the file."""
        self.repetitions = [
            r for r in self.repetitions if r["dataset"] not in datasets or r["model"] not in models
        ]

    def add(self, repetition: dict[str, Any]) -> None:
        """Adds a finished repetition, replacing an earlier one, and writes the file."""
        others = [r for r in self.repetitions if _key(r) != _key(repetition)]
        self.repetitions = [*others, repetition]
        content = {
            "machine": machine(),
            "date": datetime.date.today().isoformat(),
            "versions": versions(),
            "command": self._command,
            "summary": self.summary(),
            "differences": self.differences(),
            "repetitions": self.repetitions,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self._path)

    def summary(self) -> list[dict[str, Any]]:
        """Returns mean and standard deviation over seeds for each dataset, metric and model."""
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for repetition in self.repetitions:
            groups.setdefault((repetition["dataset"], repetition["model"]), []).append(repetition)
        return [
            {
                "dataset": dataset,
                "metric": metric,
                "model": model,
                **_moments("value", [repetition["scores"][metric] for repetition in group]),
                "train_seconds": _mean(group, "train_seconds"),
                "steps_per_second": _mean(group, "steps_per_second"),
            }
            for (dataset, model), group in groups.items()
            for metric in group[0]["scores"]
        ]

    def differences(self) -> list[dict[str, Any]]:
        """Returns a row for each dataset, metric and model that is not a reference.

        `difference` is how much higher the metric is than the best reference's, relative to the
        reference: the mean over the seeds that both have. `better` is the number of seeds where it
        is lower.
        """
        scores: dict[tuple[str, str, str], dict[int, float]] = {}
        for repetition in self.repetitions:
            for metric, value in repetition["scores"].items():
                key = repetition["dataset"], metric, repetition["model"]
                scores.setdefault(key, {})[repetition["seed"]] = value
        rows = []
        for (dataset, metric, model), ours in scores.items():
            keys = {name: (dataset, metric, name) for name in self._references}
            known = {name: scores[key] for name, key in keys.items() if key in scores}
            if model in known or not known:
                continue
            means = {name: statistics.mean(values.values()) for name, values in known.items()}
            best = min(means, key=means.__getitem__)
            shares = [ours[s] / known[best][s] - 1 for s in ours if known[best].get(s)]
            if shares:
                rows.append(
                    {
                        "dataset": dataset,
                        "metric": metric,
                        "model": model,
                        "reference": best,
                        **_moments("difference", shares),
                        "better": sum(share < 0 for share in shares),
                    }
                )
        return rows


def write(path: pathlib.Path, summary: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Writes the results of a benchmark, with the command that reproduces them.

    Args:
        path: path of the file, named like the benchmark's module.
        summary: the rows that the benchmark printed.
        more: further values to keep, by name.
    """
    content = {
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "command": shlex.join(["python", f"benchmarks/{path.stem}.py", *sys.argv[1:]]),
        "summary": summary,
        **more,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {path}")


def _key(repetition: dict[str, Any]) -> tuple[str, str, int]:
    return repetition["dataset"], repetition["model"], repetition["seed"]


def _moments(name: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        name: _rounded(statistics.mean(values)),
        "std": _rounded(statistics.stdev(values)) if len(values) > 1 else None,
        "seeds": len(values),
    }


def _rounded(value: float) -> float:
    """Rounds to six significant digits."""
    return float(f"{value:.6g}")


def _mean(group: Sequence[dict[str, Any]], key: str) -> float | None:
    known = [repetition[key] for repetition in group if repetition.get(key) is not None]
    return round(statistics.mean(known), 2) if known else None


def machine() -> dict[str, Any]:
    """Describes the machine, as far as it affects training times."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": platform.system(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python and the libraries."""
    libraries = {name: metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **libraries}
