"""Checks a compiled workflow without a cluster."""

import pathlib
from collections.abc import Mapping
from typing import Any

from pipeline import screen, yaml_file
from pipeline.errors import BAD_INPUT, OK, UserError
from pipeline.kubeflow.rules import graph, leaks, places, pods, schema, steps, variables
from pipeline.kubeflow.rules.calls import calls

_COMPILE = "write it with kubeflow_runner.py compile"


def check(path: pathlib.Path) -> list[str]:
    """Checks a workflow.

    Args:
        path: the YAML file.

    Returns:
        A line for each finding: the place, what was found, what was expected.

    Raises:
        UserError: the file is not a workflow.
    """
    return findings(_read(path))


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
    workflow = _read(path)
    found = findings(workflow)
    shown = screen.shown(path)
    if found:
        for line in found:
            print(f"{shown}: {line}")
        return BAD_INPUT
    templates = list(places.templates(workflow))
    count = sum(len(calls(place, template)) for place, template in templates)
    print(f"{shown}: {len(templates)} templates, {count} steps: nothing to complain about")
    return OK


def _read(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        workflow = yaml_file.read(path, "workflow")
    except UserError as error:
        raise UserError(f"{error}; {_COMPILE}") from None
    kind = workflow.get("kind") if isinstance(workflow, Mapping) else None
    if kind != "Workflow":
        found = f"kind {kind}" if kind else "no kind"
        raise UserError(f"{path}: found {found}, expected an Argo Workflow; {_COMPILE}")
    return workflow
