"""Static checks of a compiled workflow, without a cluster."""

import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline.console import screen
from pipeline.errors import BAD_INPUT, OK
from pipeline.kubeflow.compile.manifest import Manifest
from pipeline.kubeflow.rules import graph, leaks, places, pods, schema, steps, variables
from pipeline.kubeflow.rules.calls import calls


def check(path: pathlib.Path) -> list[str]:
    """Checks a workflow.

    Args:
        path: the YAML file.

    Returns:
        One line per problem: the place, what was found and what was expected.

    Raises:
        UserError: the file is not a workflow.
    """
    return findings(Manifest.load(path).content)


def findings(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of a workflow that is already loaded; see `check`."""
    found = schema.check(workflow)
    if not found:
        # These rules rely on types that match the schema.
        given = places.without_nulls(workflow)
        for rules in (graph, pods, variables, steps):
            found += rules.check(given)
    return list(dict.fromkeys(found + leaks.check(workflow)))


def check_command(path: pathlib.Path) -> int:
    """Checks a workflow and prints the problems.

    Args:
        path: the YAML file.

    Returns:
        An exit code of `pipeline.errors`.

    Raises:
        UserError: the file is not a workflow.
    """
    workflow = Manifest.load(path).content
    found = findings(workflow)
    shown = screen.shown(path)
    if found:
        for line in found:
            print(f"{shown}: {line}")
        return BAD_INPUT
    templates = list(places.templates(workflow))
    count = sum(len(calls(place, template)) for place, template in templates)
    print(f"{shown}: {len(templates)} templates, {count} steps: no problems found")
    return OK
