"""Rules for calls: entry point, templates, tasks, dependencies and arguments."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.errors import nearest
from pipeline.kubeflow.argo import formats, locations
from pipeline.kubeflow.argo.calls import Call, calls, reached

KINDS = (
    "container",
    "containerSet",
    "dag",
    "data",
    "http",
    "plugin",
    "resource",
    "script",
    "steps",
    "suspend",
)
_OF_PODS = ("container", "containerSet", "script", "resource", "data")
# Keys of a parameter or artifact that give it no value.
_BARE = {"name", "description", "enum", "globalName", "path", "mode", "archive", "recurseMode"}


def check(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of templates and of the calls between them."""
    return list(_check(workflow))


def _check(workflow: Mapping[str, Any]) -> Iterator[str]:
    spec = workflow["spec"]
    arguments = spec.get("arguments") or {}
    templates, again = locations.named(locations.TEMPLATES, spec["templates"])
    yield from again
    called = [spec[key] for key in ("entrypoint", "onExit") if key in spec]
    for key in ("entrypoint", "onExit"):
        if key in spec:
            yield from _known(f"spec.{key}", spec[key], templates)
            yield from _supplied("spec.arguments", arguments, templates.get(spec[key], {}))
    for location, name in _aside("spec", spec):
        called.append(name)
        yield from _known(location, name, templates)
    yield from _valued("spec.arguments", arguments)
    for location, template in locations.templates(workflow):
        yield from _template(location, template)
        called_by_it = [call.template or "" for call in calls(location, template)]
        if template["name"] in reached(called_by_it, templates):
            yield f"{location}: calls itself and would never end"
        for call in calls(location, template):
            yield from _call(call, templates)
    for key in ("suspend", "shutdown"):
        if spec.get(key):
            yield f"spec.{key}: found {spec[key]}, so nothing would run"
    used = reached(called, templates)
    unused = [name for name in templates if name not in used]
    yield from (f"{locations.TEMPLATES}.{name}: nothing calls it" for name in unused)
    yield from _unread(spec, templates)


def _known(location: str, name: str, templates: Mapping[str, Any]) -> Iterator[str]:
    if name not in templates:
        yield f"{location}: no template {name}{nearest(name, templates)}"


def _aside(location: str, holder: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the location and the name of each template that a hook calls."""
    for event, hook in (holder.get("hooks") or {}).items():
        if "template" in hook:
            yield f"{location}.hooks.{event}.template", hook["template"]


def _unread(spec: Mapping[str, Any], templates: Mapping[str, Any]) -> Iterator[str]:
    """Finds arguments of the workflow that neither an entry template nor a variable reads."""
    taken = set(re.findall(r"\{\{\s*workflow\.parameters\.([-\w]+)\s*\}\}", str(spec)))
    for key in ("entrypoint", "onExit"):
        entry = templates.get(spec.get(key, ""), {})
        taken |= _by_name(entry.get("inputs"), "parameters").keys()
    for name in _by_name(spec.get("arguments"), "parameters"):
        if name not in taken:
            yield f"spec.arguments.parameters.{name}: nothing reads it"


def _template(location: str, template: Mapping[str, Any]) -> Iterator[str]:
    yield from formats.wrong(f"{location}.name", template["name"], formats.ARGO_NAME)
    kinds = [kind for kind in KINDS if template.get(kind) is not None]
    if len(kinds) != 1:
        kinds_text = " and ".join(kinds) or "nothing to run"
        yield f"{location}: found {kinds_text}, expected exactly one of {', '.join(KINDS)}"
    for side in ("inputs", "outputs"):
        for kind in ("parameters", "artifacts"):
            items = (template.get(side) or {}).get(kind)
            inner = f"{location}.{side}.{kind}"
            _, again = locations.named(inner, items)
            yield from again
            for at, item in locations.entries(inner, items):
                yield from formats.wrong(f"{at}.name", item["name"], formats.PARAMETER)
                if kind == "artifacts" and kinds and kinds[0] in _OF_PODS:
                    yield from formats.wrong(f"{at}.path", item.get("path"), formats.ABSOLUTE)
                if side == "outputs" and kind == "parameters" and not set(item) - _BARE:
                    yield f"{at}: found no value or valueFrom, expected one"
            if kind == "artifacts":
                paths = [item["path"] for item in items or () if "path" in item]
                yield from locations.twice(f"{inner}: path", paths)
    leaf = "dag" not in kinds and "steps" not in kinds
    for key in ("parallelism", "failFast") if leaf else ("activeDeadlineSeconds", "timeout"):
        if key in template:
            yield (
                f"{location}.{key}: found in a template of kind {', '.join(kinds)}, without effect"
            )
    if "timeout" in template and leaf and not re.fullmatch(r".*[a-z}]", template["timeout"]):
        found = repr(template["timeout"])
        yield f"{location}.timeout: found {found}, expected a time such as 30s or 1h"
    template_calls = calls(location, template)
    group = f"{location}.{'dag.tasks' if template.get('dag') else 'steps'}"
    if not leaf and not template_calls:
        yield f"{group}: found none, expected at least one"
    yield from locations.twice(group, [call.name for call in template_calls])
    if template.get("dag"):
        yield from _dag(location, template["dag"], template_calls)


def _dag(location: str, dag: Mapping[str, Any], tasks: Sequence[Call]) -> Iterator[str]:
    names = [task.name for task in tasks]
    both = {key for task in dag["tasks"] for key in ("depends", "dependencies") if task.get(key)}
    if len(both) > 1:
        yield f"{location}.dag: found both depends and dependencies, expected one of the two"
    for task in tasks:
        inner = f"{task.location}.{'depends' if task.body.get('depends') else 'dependencies'}"
        yield from locations.twice(inner, task.body.get("dependencies") or ())
        for name in task.dependencies:
            if name not in names:
                yield f"{inner}: no task {name}{nearest(name, names)}"
    circle = [task.name for task in tasks if task.name in task.upstream]
    if circle:
        yield f"{location}.dag.tasks: {', '.join(circle)} wait for each other, so none ever starts"
    targets = (dag.get("target") or "").split()
    yield from (
        f"{location}.dag.target: no task {name}{nearest(name, names)}"
        for name in targets
        if name not in names and "{{" not in name
    )


def _call(call: Call, templates: Mapping[str, Any]) -> Iterator[str]:
    yield from formats.wrong(f"{call.location}.name", call.name, formats.TASK)
    kinds = [key for key in ("template", "templateRef", "inline") if call.body.get(key)]
    if kinds not in (["template"], ["templateRef"]):
        kinds_text = " and ".join(kinds) or "none"
        yield f"{call.location}: found {kinds_text}, expected one of template, templateRef"
    arguments = call.body.get("arguments") or {}
    yield from _valued(f"{call.location}.arguments", arguments)
    for location, name in _aside(call.location, call.body):
        yield from _known(location, name, templates)
    if call.template is None:
        return
    yield from _known(f"{call.location}.template", call.template, templates)
    if call.template not in templates:
        return
    template = templates[call.template]
    yield from _supplied(f"{call.location}.arguments", arguments, template)
    for kind in ("parameters", "artifacts"):
        declared = _by_name(template.get("inputs"), kind)
        for name in _by_name(arguments, kind):
            if name not in declared:
                location = f"{call.location}.arguments.{kind}.{name}"
                yield f"{location}: template {call.template} does not declare it"


def _supplied(location: str, arguments: Any, template: Mapping[str, Any]) -> Iterator[str]:
    """Checks that every input has an argument or a default."""
    for kind in ("parameters", "artifacts"):
        supplied = _by_name(arguments, kind)
        for name, item in _by_name(template.get("inputs"), kind).items():
            if name not in supplied and not set(item) - _BARE:
                yield f"{location}.{kind}: {name} is missing; template {template['name']} needs it"


def _valued(location: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("parameters", "artifacts"):
        _, again = locations.named(f"{location}.{kind}", arguments.get(kind))
        yield from again
        for inner, item in locations.entries(f"{location}.{kind}", arguments.get(kind)):
            yield from formats.wrong(f"{inner}.name", item["name"], formats.PARAMETER)
            if not set(item) - _BARE:
                yield f"{inner}: found no value, expected one"
            if "enum" in item and item.get("value") not in item["enum"]:
                yield f"{inner}.value: found {item.get('value')!r}, expected one of its enum"


def _by_name(side: Any, kind: str) -> dict[str, Any]:
    return {item["name"]: item for item in (side or {}).get(kind) or ()}
