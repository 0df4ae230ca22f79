"""The options that `TableExampleGen` has on top of TFX's for every ExampleGen."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from google.protobuf import json_format, struct_pb2
from tfx.proto import example_gen_pb2

from components.tables.column_kinds import Kind
from components.tables.table import Reading


@dataclasses.dataclass(frozen=True)
class Options:
    """Options for reading a table.

    Attributes:
        format: file format.
        encoding: text encoding, for CSV.
        missing, classes: see `table.Reading`.
        kinds: names of kinds by column, for CSV; those of other columns are inferred from all rows.
        on_bad_rows: whether a row that cannot be read stops the component or is quarantined.
        max_bad_share: share of unreadable rows above which the component stops in either case.
        block_bytes: how much of a file is read at once.
        shard_bytes: approximate size of the part of the table that goes into one shard.
        seed: seed for the order of rows.
        code: fingerprint of the reader's code, which is part of the cache key.
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
        """The part of the options that the readers of files take."""
        return Reading(self.format, self.encoding, self.missing, self.classes)

    def known_kinds(self) -> dict[str, Kind]:
        """Returns the kinds of the columns that need not be inferred."""
        return {name: Kind[kind] for name, kind in self.kinds.items()}

    def pack(self) -> example_gen_pb2.CustomConfig:
        """Returns the options as a parameter of the component, which `unpack` reads back."""
        struct = struct_pb2.Struct()
        struct.update({"options": json.dumps(dataclasses.asdict(self), sort_keys=True)})
        config = example_gen_pb2.CustomConfig()
        config.custom_config.Pack(struct)
        return config


def unpack(parameter: str) -> Options:
    """Returns the options in a parameter, in the JSON form that an executor receives."""
    config = json_format.Parse(parameter, example_gen_pb2.CustomConfig())
    struct = struct_pb2.Struct()
    config.custom_config.Unpack(struct)
    return Options(**json.loads(struct["options"]))
