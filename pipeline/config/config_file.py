"""Reads a problem's configuration from its YAML file and explains its mistakes.

A section with a single key may be written in short: `data: houses.csv`, `model: wide_deep`,
`zipcode: categorical`, `more_labels: {waterfront: binary}`, `slices: [zipcode]`.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
import yaml

from models.errors import UserError, nearest
from pipeline.config import yaml_file
from pipeline.config.configuration import Config
from pipeline.config.pydantic_types import Section
from pipeline.config.yaml_file import shown


def load(path: pathlib.Path, overrides: Sequence[str] = (), preset: str | None = None) -> Config:
    """Reads and validates the configuration of a problem.

    Args:
        path: the YAML file.
        overrides: `key.path=value` strings; the value is read as YAML.
        preset: the name of one of the file's `presets`. Its keys replace the file's; overrides
            replace both.

    Raises:
        UserError: the configuration has mistakes. The message has one line for each: the file, the
            path of the key, what was found and what is allowed.
    """
    raw = yaml_file.read(path, "configuration file")
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected keys and values such as 'label: price'")
    if preset:
        for key, value in _preset(path, raw, preset).items():
            _put(raw, key, value, f"--preset {preset}: {key}")
    for override in overrides:
        _apply_override(raw, override)
    folder = path.resolve().parent
    raw.setdefault("name", _default_name(folder.name))
    for key in _NOT_KEYS & raw.keys():
        raise UserError(f"{path}: {key}: unknown key{nearest(key, _keys(Config))}")
    paths = {"file": path.resolve(), "folder": folder}
    try:
        config = Config.parse_obj({**_expand_short_forms(raw), **paths})
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
    if isinstance(raw.get("more_labels"), dict):
        raw["more_labels"] = {
            k: {"task": v} if isinstance(v, str) else v for k, v in raw["more_labels"].items()
        }
    if isinstance(raw.get("slices"), list):
        raw["slices"] = [{"column": s} if isinstance(s, str) else s for s in raw["slices"]]
    return raw


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    option = f"--set {_plain(override)}"
    if not separator or not all(key.split(".")):
        raise UserError(f"{option}: expected key.path=value, such as train.max_steps=500")
    try:
        value = yaml.load(text, Loader=yaml_file.Loader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "a character is not allowed"
        raise UserError(f"{option}: the value is not valid YAML: {problem}") from None
    _put(raw, key, value, option)


def _preset(path: pathlib.Path, raw: dict[str, Any], name: str) -> dict[str, Any]:
    presets = raw.get("presets") or {}
    if not isinstance(presets, dict) or not isinstance(presets.get(name, {}), dict):
        raise UserError(f"{path}: presets: expected a mapping of keys and values for each name")
    if name not in presets:
        has = f"it has {', '.join(presets)}" if presets else "it has none"
        raise UserError(f"--preset {_plain(name)}: not among the presets of {path}; {has}")
    return presets[name]


def _put(raw: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Sets the value at a dotted path, such as `train.max_steps`."""
    # The path may lead into a section that is written in its short form.
    raw.update(_expand_short_forms(raw))
    *parents, last = key.split(".")
    target = raw
    for parent in parents:
        child = target.get(parent)
        if child is None:
            child = target[parent] = {}
        if not isinstance(child, dict):
            kind = "a list" if isinstance(child, list) else "a value"
            raise UserError(f"{where}: {parent} is {kind} and has no keys below it")
        target = child
    target[last] = value


def _default_name(folder: str) -> str:
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in folder.lower()).strip("_")
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
    """Returns a one-line message for one of pydantic's errors."""
    kind = error["type"]
    # `__root__` is pydantic's name for a whole section, unless the file has it as a key.
    is_unknown_key = kind == "value_error.extra"
    location = [part for part in error["loc"] if part != "__root__" or is_unknown_key]
    key = _plain(".".join(str(part) for part in location))
    where = f"{path}: {key}" if key else str(path)
    if kind == "value_error.missing":
        return f"{where}: missing; add '{location[-1]}: ...' ({_expectation(location)})"
    if kind == "value_error.extra":
        names = _keys(_section_at(location[:-1]))
        return f"{where}: unknown key{nearest(str(location[-1]), names)}"
    value = _lookup(raw, location)
    if "permitted" in error.get("ctx", {}):
        allowed = [str(choice) for choice in error["ctx"]["permitted"]]
        return f"{where}: unknown value {shown(value)}{nearest(str(value), allowed)}"
    message = _PLAIN.get(kind, error["msg"])
    # An error about a whole section already says what was found.
    own_words = isinstance(value, dict) and kind not in _PLAIN
    if value is None or own_words or not message.startswith("expected"):
        return f"{where}: {message}"
    quotes = (
        "" if kind not in _TEXT or isinstance(value, (str, dict, list)) else "; put it in quotes"
    )
    return f"{where}: {message}, found {shown(value)}{quotes}"


_PLAIN = {
    "type_error.dict": "expected keys and values",
    "type_error.tuple": "expected a list",
    "type_error.str": "expected text",
    "value_error.any_str.min_length": "is empty; give a value or remove the key",
    "value_error.strictbool": "expected true or false",
    "type_error.path": "expected a path",
    "type_error.none.not_allowed": "is empty; give a value or remove the key",
    "value_error.str.regex": "expected lower-case letters, digits and _, as king_county",
}
_TEXT = ("type_error.str", "type_error.path")


def _plain(text: str) -> str:
    """Returns text that is shown on one line: its `repr` if it has unprintable characters."""
    return text if text.isprintable() else repr(text)


_NOT_KEYS = {"file", "folder"}
"""Fields of `Config` that are set from the file's location and must not occur in the file."""


def _keys(section: type[Section]) -> list[str]:
    """Returns the keys that are allowed in a section of the file."""
    return [field.alias for field in section.__fields__.values() if field.name not in _NOT_KEYS]


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
        "data": "the table, such as houses.csv",
        "gates": "at least one bound, such as rmse: {at_most: 140000}; or never",
        "path": "the table, such as houses.csv",
        "format": "csv, parquet or tfrecord; the path's ending does not say it",
        "kind": "numeric, ordinal, categorical, boolean, date, sequence or ignore",
        "column": "the column whose values or bands are the slices",
        "patience": "steps",
        "image": "the container image, such as registry.example.com/houses:1.0",
        "workspace": "where all steps write, such as gs://bucket/houses or /mnt/pipelines/houses",
    }.get(str(location[-1]), "required")


def _lookup(raw: Any, location: Sequence[Any]) -> Any:
    for part in location:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return raw
    return raw
