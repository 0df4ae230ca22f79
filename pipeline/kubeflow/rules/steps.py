"""Rules for the arguments of steps, so that TFX's entry point accepts them.

Each step's arguments contain its node of the pipeline's intermediate representation (IR).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.kubeflow.argo import class_lookup, locations
from pipeline.kubeflow.argo.step_arguments import Step, Unreadable, read, variable_of
from pipeline.kubeflow.container import STEP, TFJOB
from pipeline.kubeflow.names import PIPELINE_ROOT, UI_METADATA
from pipeline.kubeflow.rules import agreement, tfjobs

_RUN_ID = "pipeline-run-id"
"""The only parameter that TFX's entry point sets itself, from a variable of the container."""
_RUN_ID_VARIABLE = "WORKFLOW_ID"
_RUN_ID_FIELD = "metadata.labels['workflows.argoproj.io/workflow']"
_CACHING = "pipelines.kubeflow.org/enable_caching"


def check(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of the steps' arguments and IR."""
    found: list[str] = []
    steps: dict[str, Step] = {}
    for place, template in locations.templates(workflow):
        container = template.get("container") or {}
        args = container.get("args") or ()
        if STEP[-1] not in (container.get("command") or ()) and "--tfx_ir" not in args:
            continue
        try:
            step = steps[template["name"]] = read(f"{place}.container.args", args)
        except Unreadable as error:
            found.append(str(error))
            continue
        found += _container(place, template, step)
        found += _parameters(step)
        found += _classes(step)
        if step.tfjob is not None:
            found += tfjobs.check(f"{step.place} {TFJOB}", step.tfjob, template)
    # Whether the steps fit together is only checked if each of them is correct.
    return found or agreement.check(workflow, steps)


def _container(place: str, template: Mapping[str, Any], step: Step) -> Iterator[str]:
    container = template["container"]
    command = container.get("command") or []
    if command != list(STEP):
        found, expected = " ".join(command) or "none", " ".join(STEP)
        yield f"{place}.container.command: found {found}, expected {expected}"
    variables = {variable["name"]: variable for variable in container.get("env") or ()}
    source = variables.get(_RUN_ID_VARIABLE, {}).get("valueFrom") or {}
    if (source.get("fieldRef") or {}).get("fieldPath") != _RUN_ID_FIELD:
        yield f"{place}.container.env.{_RUN_ID_VARIABLE}: expected a fieldRef to {_RUN_ID_FIELD}"
    if not variables.get("PYTHONPATH", {}).get("value"):
        yield f"{place}.container.env.PYTHONPATH: missing; steps find the user's modules by it"
    for name in step.metadata_variables:
        if name not in variables and not container.get("envFrom"):
            yield f"{place}.container.env.{name}: missing; --kubeflow_metadata_config reads it"
    labels = (template.get("metadata") or {}).get("labels") or {}
    if labels.get(_CACHING) != "false":
        # Unlike TFX's cache, the installation's may return artifacts that no longer exist.
        yield f"{place}.metadata.labels.{_CACHING}: expected 'false'"
    if template.get("daemon"):
        yield f"{place}.daemon: found true, with which nobody waits for the step"
    shown = (template.get("outputs") or {}).get("artifacts") or ()
    paths = [item.get("path") for item in shown if item["name"] == UI_METADATA]
    if paths != [step.ui_path]:
        yield (
            f"{place}.outputs.artifacts.{UI_METADATA}.path: found {paths[0] if paths else 'none'}, "
            f"expected what --metadata_ui_path says, {step.ui_path}"
        )


def _parameters(step: Step) -> Iterator[str]:
    where = f"{step.place} --runtime_parameter"
    expected = {name: kind for name, kind in step.used.items() if name != _RUN_ID}
    for name, kind in expected.items():
        if name not in step.passed:
            yield f"{where}: {name} is missing; node {step.node_id} uses it"
        elif step.passed[name][0] != kind:
            yield f"{where} {name}: found type {step.passed[name][0]}, expected {kind} as in the IR"
    for name, (_, value) in step.passed.items():
        if name not in expected:
            yield f"{where}: {name} is passed, but node {step.node_id} does not use it"
        elif value != variable_of(name):
            yield f"{where} {name}: found {value!r}, expected {variable_of(name)}"
    if step.root != variable_of(PIPELINE_ROOT):
        expected_root = variable_of(PIPELINE_ROOT)
        yield f"{step.place} --pipeline_root: found {step.root!r}, expected {expected_root}"


def _classes(step: Step) -> Iterator[str]:
    deployment = step.ir.get("deploymentConfig") or {}
    for kind in ("executorSpecs", "customDriverSpecs"):
        specs = deployment.get(kind) or {}
        for name in specs:
            if name != step.node_id:
                yield f"{step.place} --tfx_ir: {kind} is of {name}, expected {step.node_id}"
        for path in locations.values(specs, "classPath"):
            if problem := class_lookup.missing(path):
                yield f"{step.place} --tfx_ir: {kind} of {step.node_id} names {path}: {problem}"
    if step.node_id not in (deployment.get("executorSpecs") or {}):
        yield f"{step.place} --tfx_ir: no executor for node {step.node_id}"
