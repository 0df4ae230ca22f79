"""Locations in a workflow: their names in messages, and iterators over them."""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

TEMPLATES = "templates"


def entries(location: str, items: Sequence[Any] | None) -> Iterator[tuple[str, Any]]:
    """Yields the entries of a list with their locations: by name if any, else by index."""
    for index, item in enumerate(items or ()):
        name = item.get("name") if isinstance(item, Mapping) else None
        yield (
            (f"{location}.{name}" if isinstance(name, str) and name else f"{location}[{index}]"),
            item,
        )


def below(location: str, key: Any) -> str:
    """Returns the location of a key in a mapping."""
    return f"{location}.{key}" if location else str(key)


def templates(workflow: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Returns an iterator over the templates with their locations."""
    return entries(TEMPLATES, workflow["spec"]["templates"])


def containers(location: str, template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the containers of a template's pod with their locations."""
    for key in ("container", "script"):
        if template.get(key):
            yield f"{location}.{key}", template[key]
    for key in ("initContainers", "sidecars"):
        yield from entries(f"{location}.{key}", template.get(key))
    group = template.get("containerSet") or {}
    yield from entries(f"{location}.containerSet.containers", group.get("containers"))


def texts(location: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yields every text at any depth, including keys, with its location."""
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield location, str(key)
            inner = TEMPLATES if (location, key) == ("spec", TEMPLATES) else below(location, key)
            yield from texts(inner, item)
    elif isinstance(value, list):
        for inner, item in entries(location, value):
            yield from texts(inner, item)


def values(tree: Any, key: str) -> Iterator[Any]:
    """Yields the values of a key at any depth."""
    if isinstance(tree, Mapping):
        for name, item in tree.items():
            if name == key:
                yield item
            yield from values(item, key)
    elif isinstance(tree, list):
        for item in tree:
            yield from values(item, key)


def without_nulls(value: Any) -> Any:
    """Returns a copy without the keys whose value is null, which a cluster treats as absent."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def named(location: str, items: Sequence[Mapping[str, Any]] | None) -> tuple[dict, list[str]]:
    """Returns items by name, and the problems of names that occur more than once."""
    names = [item["name"] for item in items or ()]
    return {item["name"]: item for item in items or ()}, twice(location, names)


def twice(location: str, values: Iterable[str]) -> list[str]:
    """Returns the problems of values that occur more than once."""
    counts = collections.Counter(values)
    return [
        f"{location}: {value} occurs {count} times, expected once"
        for value, count in counts.items()
        if count > 1
    ]
