"""Columns that an exported model reads, described in a file beside it."""

import dataclasses
import json
from collections.abc import Sequence

from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2

from models.features.features import SEQUENCE, Feature, columns_read

FILE_NAME = "features.json"
"""Name of the file in an export's `assets.extra/` that describes the columns it reads."""


@dataclasses.dataclass(frozen=True)
class Input:
    """Column that an exported model reads.

    Attributes:
        name: the column.
        dtype: `text`, `whole numbers` or `numbers`.
        optional: whether it may be missing.
        sequence: whether it holds lists.
        length: length of each list; 0 if lengths differ.
    """

    name: str
    dtype: str
    optional: bool
    sequence: bool = False
    length: int = 0


def to_json(
    schema: schema_pb2.Schema, features: Sequence[Feature], missing: Sequence[str] = ()
) -> str:
    """Returns the JSON content of `FILE_NAME`.

    It holds `inputs` (the `Input`s), `columns` (the names of all columns in the schema) and
    `missing` (the words that mark a missing value in the table).
    """
    inputs = [
        Input(column.name, column.dtype, column.optional, column.kind == SEQUENCE, column.length)
        for column in columns_read(features)
    ]
    content = {
        "inputs": [dataclasses.asdict(column) for column in inputs],
        "columns": [feature.name for feature in schema.feature],
        "missing": list(missing),
    }
    return json.dumps(content, indent=2)


def of_export(export: str) -> tuple[Input, ...]:
    """Reads the columns that an exported model reads; `export` is a SavedModel's directory."""
    content = json.loads((epath.Path(export) / "assets.extra" / FILE_NAME).read_text())
    return tuple(Input(**column) for column in content["inputs"])
