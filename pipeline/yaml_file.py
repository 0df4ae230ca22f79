"""Reads YAML files strictly, and says in plain words where one is not YAML."""

import datetime
import pathlib
from typing import Any

import yaml

from pipeline.errors import UserError


def read(path: pathlib.Path, kind: str) -> Any:
    """What a file holds.

    Args:
        path: the file.
        kind: what it should be, for the messages, as "configuration file".

    Raises:
        UserError: it does not exist, cannot be read or is not YAML.
    """
    return parse(text_of(path, kind), str(path))


def text_of(path: pathlib.Path, kind: str) -> str:
    """The text of a file; for the rest see `read`."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such {kind}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text; convert it first") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, path: str) -> Any:
    """What a text holds, of a file that messages name; for the rest see `read`."""
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"the character #x{error.character:04x} is not allowed"
        raise UserError(f"{path}:{line}: not valid YAML: {character}") from None
    except yaml.MarkedYAMLError as error:
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else path
        several = error.problem == "but found another document"
        problem = "several documents, expected one" if several else error.problem
        raise UserError(f"{where}: not valid YAML: {problem}") from None


class Loader(yaml.SafeLoader):
    """Stricter than PyYAML: keys are text and no key stands twice; every error has its line."""

    def construct_object(self, node, deep=False):
        """Makes a value, or says in which line it is none."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # such as the 45th of a month
            message = f"{node.value!r}: {error}; put text in quotes"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None

    def construct_mapping(self, node, deep=False):
        """Makes a mapping of keys that are text and stand once."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"key {shown(key)}: expected text; put it in quotes"
            elif key in seen:
                problem = f"key {key!r} stands twice"
            else:
                seen.add(key)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        return super().construct_mapping(node, deep)


def shown(value: Any) -> str:
    """A value as it may stand in the file, on one line and not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
