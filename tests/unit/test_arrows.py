"""Imports among packages run one way; `ARROWS` is the whole list, lower packages first."""

import ast
import pathlib
from collections.abc import Iterator

PROJECT = pathlib.Path(__file__).parents[2]

MODELS = {
    # The lowest layer imports nothing of ours, except for a former name of the toolbox.
    "models": {"toolbox"},
    "models.settings": set(),
    "models.processes": set(),
    "models.progress": set(),
    "models.distributed": {"processes", "progress", "settings"},
    "models.features": {"settings"},
    "models.toolbox.heads": {"distributed", "features"},
    "models.toolbox.networks": {"distributed", "features"},
    "models.toolbox": {"distributed", "features", "toolbox.heads"},
    "models.diagnostics": {"distributed", "features", "progress", "toolbox.heads"},
    "models.zoo": {"diagnostics", "features", "toolbox", "toolbox.heads", "toolbox.networks"},
    "models.zoo.keras": {"features", "toolbox", "toolbox.heads", "toolbox.networks"},
    "models.zoo.premade": {"features", "toolbox", "toolbox.heads", "toolbox.networks"},
    "models.training": {
        "diagnostics", "distributed", "features", "processes", "progress", "settings", "toolbox",
        "toolbox.networks", "zoo",
    },
    "models.programs": {"diagnostics", "distributed", "processes", "training"},
}  # fmt: skip
COMPONENTS = {
    "components": set(),  # what several components share: deployments, names in artifacts
    "components.tables": set(),
    "components.tables.reader": {"tables"},
    "components.example_io": {"tables"},
    "components.serving_check": {"example_io", "tables"},
    "components.evaluator": {"example_io", "serving_check"},
    "components.curated_schema": {"example_io"},
    "components.schema_gen": {"example_io", "tables"},
    "components.statistics_gen": {"example_io"},
    "components.table_example_gen": {"example_io", "tables", "tables.reader"},
    "components.transform": {"example_io"},
    # These import no other component: none knows another.
    "components.baseline": set(),
    "components.data_gate": set(),
    "components.example_validator": set(),
    "components.pusher": set(),
    "components.trainer": set(),
    "components.tuner": set(),
}
PIPELINE = {
    "pipeline.config": set(),
    "pipeline.preflight": {"config"},
    "pipeline.storage": set(),
    "pipeline.console": {"config", "preflight", "storage"},  # and nothing of Beam
    "pipeline.graph": {"config", "storage"},
    "pipeline.beam": {"console", "graph", "storage"},
    "pipeline.scoring": {"storage"},
    "pipeline.local": {"beam", "config", "console", "graph", "preflight", "storage"},
    "pipeline.kubeflow": set(),  # names and constants without imports
    "pipeline.kubeflow.argo": {"config", "kubeflow"},
    "pipeline.kubeflow.tfjob": {"config", "kubeflow"},
    "pipeline.kubeflow.compile": {
        "config", "console", "graph", "kubeflow", "kubeflow.tfjob", "preflight", "storage"
    },
    "pipeline.kubeflow.rules": {
        "config", "console", "kubeflow", "kubeflow.argo", "kubeflow.compile", "kubeflow.tfjob"
    },
    "pipeline.kubeflow.local_argo": {
        "config", "console", "graph", "kubeflow", "kubeflow.compile", "storage"
    },
    "pipeline.kubeflow.server": {"config", "console", "kubeflow", "kubeflow.compile"},
    "pipeline.kubeflow.steps": {
        "beam", "graph", "kubeflow", "kubeflow.compile", "kubeflow.tfjob", "storage"
    },
}  # fmt: skip
ARROWS = {
    **{name: {"models"} | {f"models.{to}" for to in tos} for name, tos in MODELS.items()},
    **{
        name: {"components", *MODELS} | {f"components.{to}" for to in tos}
        for name, tos in COMPONENTS.items()
    },
    **{
        name: {*COMPONENTS, *MODELS} | {f"pipeline.{to}" for to in tos}
        for name, tos in PIPELINE.items()
    },
}
"""The packages that each package may import: `models`, then `components`, then `pipeline`."""

_OURS = ("components", "models", "pipeline", "local_runner", "kubeflow_runner", "tests")


def packages() -> Iterator[tuple[str, pathlib.Path]]:
    for top in ("models", "components", "pipeline"):
        for file in sorted((PROJECT / top).rglob("*.py")):
            yield ".".join(file.parent.relative_to(PROJECT).parts), file


def imported(file: pathlib.Path) -> Iterator[str]:
    """Yields the packages of ours that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{name.name}" for name in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in _OURS:
                yield package_of(name)


def package_of(name: str) -> str:
    while not (PROJECT / name.replace(".", "/")).is_dir() and "." in name:
        name = name.rpartition(".")[0]
    return name


def test_packages_import_only_what_stands_below_them():
    wrong = {
        f"{file.relative_to(PROJECT)} imports {target}"
        for package, file in packages()
        for target in imported(file)
        if target not in ARROWS.get(package, set()) | {package}
    }
    assert wrong == set()


def test_the_arrows_have_no_cycles():
    below = {name: tos - {name} for name, tos in ARROWS.items()}
    below["models"] = set()
    while leaves := {name for name, tos in below.items() if not tos & below.keys()}:
        below = {name: tos for name, tos in below.items() if name not in leaves}
    assert below == {}


def test_every_package_is_listed_and_small_enough_to_survey():
    modules: dict[str, int] = {}
    for package, file in packages():
        modules[package] = modules.get(package, 0) + (file.name != "__init__.py")
    assert {name for name, count in modules.items() if count} - ARROWS.keys() == set()
    assert {name: count for name, count in modules.items() if count > 14} == {}
