"""The calls in a workflow: the tasks of `dag` templates and the steps of `steps` templates."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.kubeflow.argo import locations

_DEPENDS = re.compile(r"([A-Za-z][-A-Za-z0-9_]*)(\.[A-Z][A-Za-z]+)?")


@dataclasses.dataclass(frozen=True)
class Call:
    """A task of a `dag` template or a step of a `steps` template.

    Attributes:
        location, name: the location and the name of the call.
        body: the content of the call.
        group: `tasks` or `steps`, the prefix of its variables.
        dependencies: the names of the calls that it directly waits for.
        upstream: the names of all calls that are done before it.
    """

    location: str
    name: str
    body: Mapping[str, Any]
    group: str
    dependencies: tuple[str, ...]
    upstream: frozenset[str]

    @property
    def template(self) -> str | None:
        """The name of the called template; None if it is not in this workflow."""
        return self.body.get("template")


def calls(location: str, template: Mapping[str, Any]) -> list[Call]:
    """Returns the calls that a template makes."""
    if template.get("dag"):
        tasks = template["dag"]["tasks"]
        direct = {task["name"]: _dependencies(task) for task in tasks}
        return [
            Call(
                f"{location}.dag.tasks.{task['name']}",
                task["name"],
                task,
                "tasks",
                direct[task["name"]],
                _upstream(task["name"], direct),
            )
            for task in tasks
        ]
    step_calls: list[Call] = []
    for index, group in enumerate(template.get("steps") or ()):
        before = frozenset(call.name for call in step_calls)
        for inner, step in locations.entries(f"{location}.steps[{index}]", group):
            name = step.get("name", "")
            step_calls.append(Call(inner, name, step, "steps", tuple(before), before))
    return step_calls


def _dependencies(task: Mapping[str, Any]) -> tuple[str, ...]:
    named = [match[1] for match in _DEPENDS.finditer(task.get("depends") or "")]
    return tuple(task.get("dependencies") or named)


def _upstream(name: str, direct: Mapping[str, Sequence[str]]) -> frozenset[str]:
    upstream: set[str] = set()
    ahead = list(direct[name])
    while ahead:
        dependency = ahead.pop()
        if dependency not in upstream:
            upstream.add(dependency)
            ahead += direct.get(dependency, ())
    return frozenset(upstream)


def reached(names: Iterable[str], templates: Mapping[str, Any]) -> set[str]:
    """Returns the names of templates and of all that they call, directly or indirectly."""
    reachable: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name in templates and name not in reachable:
            reachable.add(name)
            for call in calls(name, templates[name]):
                hooks = (call.body.get("hooks") or {}).values()
                ahead += [call.template or "", call.body.get("onExit") or ""]
                ahead += [hook.get("template") or "" for hook in hooks]
    return reachable
