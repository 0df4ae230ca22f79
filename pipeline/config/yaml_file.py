"""Reads YAML files strictly and reports syntax errors with their line."""

import datetime
import pathlib
from typing import Any

import yaml

from models.errors import UserError


def read(path: pathlib.Path, kind: str) -> Any:
    """Reads a YAML file.

    Args:
        path: the file.
        kind: the kind of file, for messages, such as "configuration file".

    Raises:
        UserError: the file does not exist, cannot be read or is not YAML.
    """
    return parse(text_of(path, kind), str(path))


def text_of(path: pathlib.Path, kind: str) -> str:
    """Reads the text of a file; see `read` for arguments and errors."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such {kind}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text; convert it first") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, path: str) -> Any:
    """Parses YAML text; messages name its file, `path`. See `read` for errors."""
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
    """A stricter `SafeLoader`: keys are unique text, and every error has its line."""

    def construct_object(self, node, deep=False):
        """Constructs a value; reports an invalid one with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # such as a date on the 45th of a month
            message = f"{node.value!r}: {error}; put text in quotes"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None

    def construct_mapping(self, node, deep=False):
        """Constructs a mapping; refuses keys that are not text or occur twice."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"key {shown(key)}: expected text; put it in quotes"
            elif key in seen:
                problem = f"duplicate key {key!r}"
            else:
                seen.add(key)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        return super().construct_mapping(node, deep)


def shown(value: Any) -> str:
    """Formats a value as in the file, on one line of at most 60 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
