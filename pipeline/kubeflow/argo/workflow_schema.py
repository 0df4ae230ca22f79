"""Type checks of an Argo Workflow and of its pods, stricter than a cluster's.

A cluster ignores unknown keys, so that a misspelled one has no effect; here it is a problem. The
types are hera's, which are generated from the OpenAPI specification of Argo Workflows.
"""

import datetime
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

from hera.workflows import models

from models.errors import nearest
from pipeline.config.yaml_file import shown
from pipeline.kubeflow.argo import locations

Model: typing.Any = models.Workflow.__mro__[1]
"""The base class of hera's types."""

# Keys that a cluster requires in addition to the specification.
_ALSO_REQUIRED = {
    "Workflow": ("apiVersion", "kind"),
    "WorkflowSpec": ("entrypoint", "templates"),
    "RetryStrategy": ("limit",),  # without it retries never end
    "Backoff": ("duration",),
    "TemplateRef": ("name", "template"),
    "SecretKeySelector": ("name",),
    "SecretEnvSource": ("name",),
    "ConfigMapKeySelector": ("name",),
    "ConfigMapEnvSource": ("name",),
    "LocalObjectReference": ("name",),
}
_OF_CLUSTER = {
    "Workflow": {"status"},
    "ObjectMeta": {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    },
}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_CHOICES = {
    ("Workflow", "apiVersion"): ("argoproj.io/v1alpha1",),
    ("Workflow", "kind"): ("Workflow",),
    ("RetryStrategy", "retryPolicy"): ("Always", "OnFailure", "OnError", "OnTransientError"),
    ("PodGC", "strategy"): (
        "OnPodCompletion",
        "OnPodSuccess",
        "OnWorkflowCompletion",
        "OnWorkflowSuccess",
    ),
    ("WorkflowSpec", "dnsPolicy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    ("ContainerPort", "protocol"): ("TCP", "UDP", "SCTP"),
    ("VolumeMount", "mountPropagation"): ("None", "HostToContainer", "Bidirectional"),
    ("EmptyDirVolumeSource", "medium"): ("", "Memory"),
    ("Toleration", "operator"): ("Exists", "Equal"),
    ("Toleration", "effect"): _EFFECTS,
    ("SeccompProfile", "type"): ("Localhost", "RuntimeDefault", "Unconfined"),
    ("NodeSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
    ("LabelSelectorRequirement", "operator"): ("In", "NotIn", "Exists", "DoesNotExist"),
    ("ObjectFieldSelector", "apiVersion"): ("v1",),
}
for _container in ("Container", "UserContainer", "ScriptTemplate", "ContainerNode"):
    _CHOICES[_container, "imagePullPolicy"] = ("Always", "IfNotPresent", "Never")
    _CHOICES[_container, "terminationMessagePolicy"] = ("File", "FallbackToLogsOnError")
# Bounds of whole numbers by key, at any depth; only `_NEGATIVE_TOO` may be negative.
_NEGATIVE_TOO = ("priority", "weight")
_AT_MOST = {"containerPort": 65535, "hostPort": 65535, "defaultMode": 0o777, "mode": 0o777}
_AT_LEAST = {"activeDeadlineSeconds": 1, "parallelism": 1, "containerPort": 1}
# Models without fields that accept anything; others without fields accept nothing.
_FREE = ("Plugin", "FieldsV1", "Item")


def check(workflow: Any) -> list[str]:
    """Returns the problems of keys and types."""
    problems = list(_walk("", workflow, models.Workflow))
    if not problems:
        # The types do not require a name, as `templateDefaults` has none.
        for location, template in locations.templates(workflow):
            if not template.get("name"):
                problems.append(f"{location}.name: missing")
    return problems


def of(model: type, value: Mapping[str, Any]) -> list[str]:
    """Returns the problems of keys and types in an object other than a workflow."""
    return list(_walk("", value, model))


def _walk(location: str, value: Any, kind: Any) -> typing.Iterator[str]:
    kind = _plain(kind)
    origin = typing.get_origin(kind)
    if origin is list:
        if not isinstance(value, list):
            yield _wrong(location, value, "a list")
            return
        for inner, item in locations.entries(location, value):
            yield from _walk(inner, item, typing.get_args(kind)[0])
    elif origin is dict:
        if not isinstance(value, Mapping):
            yield _wrong(location, value, "keys and values")
            return
        for key, item in value.items():
            yield from _walk(locations.below(location, key), item, typing.get_args(kind)[1])
    elif isinstance(kind, type) and issubclass(kind, Model):
        yield from _walk_model(location, value, kind)
    else:
        expected, fits = _SCALARS[kind]
        if not fits(value):
            yield _wrong(location, value, expected)


def _walk_model(location: str, value: Any, model: type) -> typing.Iterator[str]:
    name = model.__name__
    fields = _fields(model)
    if name in _FREE:
        return
    if name in _SPECIAL:
        expected, fits = _SPECIAL[name]
        if not fits(value):
            yield _wrong(location, value, expected)
        return
    if "__root__" in fields:
        yield from _walk(location, value, fields["__root__"].outer_type_)
        return
    if not isinstance(value, Mapping):
        yield _wrong(location, value, "keys and values")
        return
    required = {key for key, field in fields.items() if field.required}
    for key in sorted(required | set(_ALSO_REQUIRED.get(name, ()))):
        if value.get(key) is None or value[key] == "":
            yield f"{locations.below(location, key)}: missing"
    for key, item in value.items():
        inner = locations.TEMPLATES if (location, key) == ("spec", "templates") else key
        inner = inner if inner == locations.TEMPLATES else locations.below(location, key)
        if key not in fields:
            yield f"{locations.below(location, key)}: unknown key{nearest(str(key), fields)}"
        elif key in _OF_CLUSTER.get(name, ()):
            yield f"{inner}: found {shown(item)}, expected none: the cluster writes it"
        elif item is not None:  # null counts as absent
            yield from _walk(inner, item, fields[key].outer_type_)
            yield from _bounds(inner, key, item)
            choices = _CHOICES.get((name, key))
            if choices and isinstance(item, str) and item not in choices:
                yield f"{inner}: found {shown(item)}, expected one of {', '.join(choices)}"


def _bounds(location: str, key: str, value: Any) -> typing.Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return
    least = None if key in _NEGATIVE_TOO else _AT_LEAST.get(key, 0)
    most = _AT_MOST.get(key)
    if least is not None and value < least:
        yield f"{location}: found {value}, expected at least {least}"
    if most is not None and value > most:
        yield f"{location}: found {value}, expected at most {most}"


def _wrong(location: str, value: Any, expected: str) -> str:
    kind = "nothing" if value is None else type(value).__name__
    quotes = ""
    if expected == "text" and not isinstance(value, (Mapping, list)) and value is not None:
        quotes = "; put it in quotes"
    return f"{location or 'workflow'}: found {shown(value)} ({kind}), expected {expected}{quotes}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole_or_text(value: Any) -> bool:
    # When YAML becomes JSON, 2.0 is written as 2; a cluster then refuses 1.5.
    return isinstance(value, str) or (_is_number(value) and float(value).is_integer())


def _is_time(value: Any) -> bool:
    if isinstance(value, datetime.datetime):
        return True
    try:
        datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return False
    return isinstance(value, str)


_SCALARS = {
    str: ("text", lambda value: isinstance(value, str)),
    int: ("a whole number", _is_whole),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    float: ("a number", _is_number),
}
_SPECIAL = {
    "IntOrString": ("a whole number, or text", _is_whole_or_text),
    "Quantity": ("an amount such as 500m, 2 or 8Gi", lambda v: isinstance(v, str) or _is_number(v)),
    "Time": ("a time such as 2024-01-31T12:00:00Z", _is_time),
    "MicroTime": ("a time such as 2024-01-31T12:00:00Z", _is_time),
}


@functools.cache
def _fields(model: Any) -> dict[str, Any]:
    return {field.alias: field for field in model.__fields__.values()}


def _plain(kind: Any) -> Any:
    """Returns a type without the `Annotated` and `Optional` around it."""
    while True:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Annotated:
            kind = arguments[0]
        elif origin in (typing.Union, types.UnionType) and type(None) in arguments:
            kind = next(argument for argument in arguments if argument is not type(None))
        else:
            return kind
