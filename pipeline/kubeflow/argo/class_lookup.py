"""Lookup of a class by its dotted path, without importing it.

An import would load TensorFlow and TFX, which takes seconds.
"""

import ast
import functools
import importlib.machinery
import pathlib

_FUNCTION_EXECUTOR = "_Executor"
"""The suffix of the class that TFX adds to the module of a function component."""


@functools.cache
def missing(path: str) -> str:
    """Returns what is wrong with a path such as `components.pusher.executor.Executor`, or ""."""
    module, _, name = path.rpartition(".")
    file = _file(module)
    if file is None:
        return f"no module {module or path}"
    names = _names(file)
    if name not in names and name.removesuffix(_FUNCTION_EXECUTOR) not in names:
        return f"module {module} has no {name}"
    return ""


def _file(module: str) -> pathlib.Path | None:
    search_path = None
    spec = None
    parts = module.split(".")
    for index in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: index + 1]), search_path)
        if spec is None:
            return None
        # A module that is not a package has no submodules.
        search_path = list(spec.submodule_search_locations or ())
    return pathlib.Path(spec.origin) if spec and spec.origin else None


def _names(file: pathlib.Path) -> set[str]:
    """Returns the names that a module's source binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names
