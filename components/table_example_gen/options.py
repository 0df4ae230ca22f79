"""What `TableExampleGen` is told beside what all ExampleGens are."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from google.protobuf import json_format, struct_pb2
from tfx.proto import example_gen_pb2

from components.tables.table import Kind, Reading


@dataclasses.dataclass(frozen=True)
class Options:
    """How a table is read.

    Attributes:
        format: of its files.
        encoding: of CSV.
        missing, classes: see `table.Reading`.
        kinds: names of `table.Kind`s by column, for CSV; other columns' are inferred from all rows.
        on_bad_rows: whether a row that cannot be read stops the component, or is put aside.
        max_bad_share: the share of rows above which it stops all the same.
        block_bytes: how much of a file is read at once.
        shard_bytes: how much of the table is in one file of each split, about.
        seed: of the order of rows.
        code: a fingerprint, for the cache: the reader is part of what determines the examples.
    """

    format: Literal["csv", "parquet", "tfrecord"]
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    missing: Sequence[str] = ()
    classes: Sequence[str] = ()
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    on_bad_rows: Literal["refuse", "quarantine"] = "refuse"
    max_bad_share: float = 0.01
    block_bytes: int = 4 << 20
    shard_bytes: int = 32 << 20
    seed: int = 0
    code: str = ""

    @property
    def reading(self) -> Reading:
        """How the files are read."""
        return Reading(self.format, self.encoding, self.missing, self.classes)

    def known_kinds(self) -> dict[str, Kind]:
        """The columns' kinds that need not be inferred."""
        return {name: Kind[kind] for name, kind in self.kinds.items()}

    def pack(self) -> example_gen_pb2.CustomConfig:
        """As a parameter of the component."""
        struct = struct_pb2.Struct()
        struct.update({"options": json.dumps(dataclasses.asdict(self), sort_keys=True)})
        config = example_gen_pb2.CustomConfig()
        config.custom_config.Pack(struct)
        return config


def unpack(parameter: str) -> Options:
    """The options in a parameter, as an executor gets it."""
    config = json_format.Parse(parameter, example_gen_pb2.CustomConfig())
    struct = struct_pb2.Struct()
    config.custom_config.Unpack(struct)
    return Options(**json.loads(struct["options"]))
