"""What TFX's entry point asks of a step's arguments, told without running it.

Each step carries its node of the pipeline's intermediate representation (IR), which must agree with
the task that runs it: the same upstream nodes, the same runtime parameters.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import nearest
from pipeline.kubeflow.container import STEP
from pipeline.kubeflow.rules import modules, places
from pipeline.kubeflow.rules.calls import Call, calls
from pipeline.kubeflow.rules.step_arguments import Step, Unreadable, read

PIPELINE_ROOT = "pipeline-root"
UI_METADATA = "mlpipeline-ui-metadata"
_RUN_ID = "pipeline-run-id"
"""The one parameter that TFX's entry point sets itself, from a variable of the container."""
_RUN_ID_VARIABLE = "WORKFLOW_ID"
_RUN_ID_FIELD = "metadata.labels['workflows.argoproj.io/workflow']"
_NUMBERS: Mapping[str, type] = {"INT": int, "DOUBLE": float}


def check(workflow: Mapping[str, Any]) -> list[str]:
    """The findings about the steps' arguments and IR."""
    found: list[str] = []
    steps: dict[str, Step] = {}
    for place, template in places.templates(workflow):
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
    if not found:
        # How the steps fit together, once each of them can be read.
        found += _together(workflow, steps)
    return found


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
        elif value != _input(name):
            yield f"{where} {name}: found {value!r}, expected {_input(name)}"
    if step.root != _input(PIPELINE_ROOT):
        yield f"{step.place} --pipeline_root: found {step.root!r}, expected {_input(PIPELINE_ROOT)}"


def _input(name: str) -> str:
    return f"{{{{inputs.parameters.{name}}}}}"


def _classes(step: Step) -> Iterator[str]:
    deployment = step.ir.get("deploymentConfig") or {}
    for kind in ("executorSpecs", "customDriverSpecs"):
        specs = deployment.get(kind) or {}
        for name in specs:
            if name != step.node_id:
                yield f"{step.place} --tfx_ir: {kind} is of {name}, expected {step.node_id}"
        for path in _values(specs, "classPath"):
            if problem := modules.missing(path):
                yield f"{step.place} --tfx_ir: {kind} of {step.node_id} names {path}: {problem}"
    resolves = list(_values(step.node, "opType"))
    for path in resolves:
        if problem := modules.missing(path):
            yield f"{step.place} --tfx_ir: node {step.node_id} resolves by {path}: {problem}"
    if not resolves and step.node_id not in (deployment.get("executorSpecs") or {}):
        yield f"{step.place} --tfx_ir: no executor for node {step.node_id}"


def _values(value: Any, key: str) -> Iterator[str]:
    """The texts that stand at a key, at any depth."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == key and isinstance(item, str):
                yield item
            yield from _values(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, key)


def _together(workflow: Mapping[str, Any], steps: Mapping[str, Step]) -> Iterator[str]:
    if not steps:
        yield f"{places.TEMPLATES}: none runs a step of the pipeline ({' '.join(STEP)})"
    yield from places.twice(
        f"{places.TEMPLATES}: --node_id", [step.node_id for step in steps.values()]
    )
    pipelines = {step.ir.get("pipelineInfo", {}).get("id", "") for step in steps.values()}
    if len(pipelines) > 1:
        yield f"{places.TEMPLATES}: steps of pipelines {', '.join(sorted(pipelines))}, expected one"
    by_node = {step.node_id: step for step in steps.values()}
    for step in steps.values():
        yield from _channels(step, by_node)
        yield from _numbers(workflow, step)
    for place, template in places.templates(workflow):
        tasks = calls(place, template)
        runs = {call.name: steps[call.template or ""] for call in tasks if call.template in steps}
        nodes = {name: step.node_id for name, step in runs.items()}
        for call in tasks:
            if call.name in runs:
                yield from _task(call, runs[call.name], nodes)


def _channels(step: Step, by_node: Mapping[str, Step]) -> Iterator[str]:
    """What a node reads comes from a node before it, which writes it."""
    for name, given in (step.node.get("inputs", {}).get("inputs") or {}).items():
        where = f"{step.place} --tfx_ir: input {name} of {step.node_id}"
        for channel in given.get("channels") or ():
            producer = (channel.get("producerNodeQuery") or {}).get("id")
            if producer is None:
                continue
            if producer not in step.upstream:
                yield f"{where} comes from {producer}, which is not among its upstream nodes"
            elif producer in by_node:
                node = by_node[producer].node
                outputs = node.get("outputs", {}).get("outputs") or {}
                key = channel.get("outputKey", "")
                # What a resolver gives on is known in a run only.
                if key not in outputs and "inputGraphs" not in node.get("inputs", {}):
                    yield f"{where}: {producer} has no output {key}{nearest(key, outputs)}"


def _numbers(workflow: Mapping[str, Any], step: Step) -> Iterator[str]:
    """What a run takes by default can be read as its type."""
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters") or ()
    for argument in arguments:
        number = _NUMBERS.get(step.used.get(argument["name"], ""))
        value = argument.get("value")
        if number is None or value is None:
            continue
        try:
            number(value)
        except ValueError:
            place = f"spec.arguments.parameters.{argument['name']}.value"
            kind = step.used[argument["name"]]
            yield f"{place}: found {value!r}, expected {kind} for node {step.node_id}"


def _task(call: Call, step: Step, nodes: Mapping[str, str]) -> Iterator[str]:
    found = {nodes.get(name, name) for name in call.dependencies}
    if found != step.upstream:
        yield (
            f"{call.place}.dependencies: found {_list(found)}, expected {_list(step.upstream)}, "
            f"the upstream nodes of {step.node_id} in the IR"
        )
    for argument in (call.body.get("arguments") or {}).get("parameters") or ():
        name, value = argument["name"], argument.get("value")
        if value != _input(name):
            place = f"{call.place}.arguments.parameters.{name}.value"
            yield f"{place}: found {value!r}, expected {_input(name)}"


def _list(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
