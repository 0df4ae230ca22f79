"""Reads a problem's configuration from its YAML file, and says in plain words what is wrong in it.

Short forms are allowed where one value says it all: `data: houses.csv`, `model: wide_deep`,
`zipcode: categorical`, `slices: [zipcode]`.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
import yaml

from pipeline.config import Config, Section
from pipeline.errors import UserError, nearest


def load(path: pathlib.Path, overrides: Sequence[str] = ()) -> Config:
    """Reads, checks and freezes the configuration of a problem.

    Args:
        path: the YAML file.
        overrides: `key.path=value` strings; the value is read as YAML.

    Raises:
        UserError: one line for each mistake: file, key's path, what was found, what is allowed.
    """
    raw = _read_yaml(path)
    for override in overrides:
        _apply_override(raw, override)
    folder = path.resolve().parent
    raw.setdefault("name", _default_name(folder.name))
    if "folder" in raw:
        raise UserError(f"{path}: folder: unknown key{nearest('folder', Config.__fields__)}")
    try:
        config = Config.parse_obj({**_expand_short_forms(raw), "folder": folder})
    except pydantic.ValidationError as error:
        raise UserError("\n".join(_explain(path, raw, e) for e in error.errors())) from None
    return _with_absolute_paths(config)


def _expand_short_forms(raw: dict[str, Any]) -> dict[str, Any]:
    raw = dict(raw)
    if isinstance(raw.get("data"), str):
        raw["data"] = {"path": raw["data"]}
    if isinstance(raw.get("model"), str):
        raw["model"] = {"name": raw["model"]}
    if isinstance(raw.get("features"), dict):
        raw["features"] = {
            k: {"kind": v} if isinstance(v, str) else v for k, v in raw["features"].items()
        }
    if isinstance(raw.get("slices"), list):
        raw["slices"] = [{"column": s} if isinstance(s, str) else s for s in raw["slices"]]
    return raw


def _read_yaml(path: pathlib.Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected keys and values such as 'label: price'")
    return raw


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML allows no key twice, PyYAML silently takes the last."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UserError(f"--set {override}: expected key.path=value, as train.max_steps=500")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: the value is not valid YAML") from None
    *parents, last = key.split(".")
    # A short form that an override reaches into becomes its long form first.
    raw.update(_expand_short_forms(raw))
    target = raw
    for parent in parents:
        child = target.get(parent)
        if child is None:
            child = target[parent] = {}
        if not isinstance(child, dict):
            raise UserError(f"--set {override}: {parent} is a value and has no keys below it")
        target = child
    target[last] = value


def _default_name(folder: str) -> str:
    name = "".join(c if c.isalnum() else "_" for c in folder.lower()).strip("_")
    return name if name[:1].isalpha() else f"problem_{name}"


def _with_absolute_paths(config: Config) -> Config:
    folder = config.folder

    def absolute(path):
        return path if path is None else (folder / path).resolve()

    data = config.data.copy(
        update={
            "path": absolute(config.data.path),
            "schema_file": absolute(config.data.schema_file),
        }
    )
    push = config.push.copy(update={"directory": absolute(config.push.directory)})
    return config.copy(update={"data": data, "push": push})


def _explain(path: pathlib.Path, raw: Mapping, error: Mapping) -> str:
    """One line for one of pydantic's findings."""
    location = [part for part in error["loc"] if part != "__root__"]
    key = ".".join(str(part) for part in location)
    where = f"{path}: {key}" if key else str(path)
    kind = error["type"]
    if kind == "value_error.missing":
        return f"{where}: missing; add '{key}: ...' ({_expectation(location)})"
    if kind == "value_error.extra":
        section = _section_at(location[:-1])
        names = [field.alias for field in section.__fields__.values() if field.name != "folder"]
        return f"{where}: unknown key{nearest(str(location[-1]), names)}"
    found = _lookup(raw, location)
    shown = f", found {found!r}" if location and not isinstance(found, (dict, list)) else ""
    if "permitted" in error.get("ctx", {}):
        allowed = [str(value) for value in error["ctx"]["permitted"]]
        return f"{where}: unknown value {found!r}{nearest(str(found), allowed)}"
    return f"{where}: {_PLAIN.get(kind, error['msg'])}{shown}"


_PLAIN = {
    "type_error.dict": "expected keys and values",
    "type_error.tuple": "expected a list",
    "type_error.str": "expected text",
    "type_error.bool": "expected true or false",
    "value_error.strictbool": "expected true or false",
    "type_error.integer": "expected a whole number",
    "type_error.path": "expected a path",
    "type_error.none.not_allowed": "is empty; give a value or remove the key",
    "value_error.number.not_ge": "expected a whole number, zero or above",
    "value_error.str.regex": "expected lower-case letters, digits and _, as king_county",
}


def _section_at(location: Sequence[Any]) -> type[Section]:
    section: Any = Config
    for part in location:
        if isinstance(section, type) and issubclass(section, Section):
            by_alias = {field.alias: field for field in section.__fields__.values()}
            if part in by_alias:
                section = by_alias[part].type_
    return section


def _expectation(location: Sequence[Any]) -> str:
    return {
        "task": "regression, binary or multiclass",
        "label": "the column to predict",
        "data": "the table, as houses.csv",
        "gates": "at least one bound, as rmse: {at_most: 140000}",
        "format": "csv, parquet or tfrecord",
    }.get(str(location[-1]), "required")


def _lookup(raw: Any, location: Sequence[Any]) -> Any:
    for part in location:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return raw
    return raw
