"""Whether a class is where its path says, found without importing anything.

An import would take TensorFlow and TFX with it, and seconds.
"""

import ast
import functools
import importlib.machinery
import pathlib

_FUNCTION_EXECUTOR = "_Executor"
"""TFX adds such a class to the module of a function that is a component."""


@functools.cache
def missing(path: str) -> str:
    """What is wrong with the path of a class, as `components.pusher.executor.Executor`, or ""."""
    module, _, name = path.rpartition(".")
    file = _file(module)
    if file is None:
        return f"no module {module or path}"
    names = _names(file)
    if name not in names and name.removesuffix(_FUNCTION_EXECUTOR) not in names:
        return f"module {module} has no {name}"
    return ""


def _file(module: str) -> pathlib.Path | None:
    places = None
    spec = None
    parts = module.split(".")
    for number in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: number + 1]), places)
        if spec is None:
            return None
        # What is no package has nothing below it.
        places = list(spec.submodule_search_locations or ())
    return pathlib.Path(spec.origin) if spec and spec.origin else None


def _names(file: pathlib.Path) -> set[str]:
    """What a module's source binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names
