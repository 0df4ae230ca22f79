"""Checks a compiled workflow without a cluster."""

import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline import screen
from pipeline.errors import BAD_INPUT, OK
from pipeline.kubeflow.manifest import Manifest
from pipeline.kubeflow.rules import graph, leaks, places, pods, schema, steps, variables
from pipeline.kubeflow.rules.calls import calls


def check(path: pathlib.Path) -> list[str]:
    """Checks a workflow.

    Args:
        path: the YAML file.

    Returns:
        A line for each finding: the place, what was found, what was expected.

    Raises:
        UserError: the file is not a workflow.
    """
    return findings(Manifest.load(path).content)


def findings(workflow: Mapping[str, Any]) -> list[str]:
    """The findings in a workflow that was read already; see `check`."""
    found = schema.check(workflow)
    if not found:
        # These take what they find for what the schema says that it is.
        given = places.without_nulls(workflow)
        for rules in (graph, pods, variables, steps):
            found += rules.check(given)
    return list(dict.fromkeys(found + leaks.check(workflow)))


def check_command(path: pathlib.Path) -> int:
    """Checks a workflow and prints what was found.

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
