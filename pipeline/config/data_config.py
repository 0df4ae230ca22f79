"""The `data` and `splits` sections of the configuration."""

import pathlib
from typing import TYPE_CHECKING, Literal

import pydantic

from pipeline.config.pydantic_types import Code, Count, Number, Section, Text, path_text, refuse

if TYPE_CHECKING:
    from components.tables.table import Reading


class Data(Section):
    """The `data` section: where the table is and how it is read.

    Attributes:
        path: a file, a folder of files of one format, or a pattern such as `sales-*.csv`. A folder
            may be partitioned into folders named `column=value`. For a pattern with a span and a
            version, such as `day-{SPAN}/v{VERSION}/*.csv`, the latest files are read.
        format: the format of the files; by default determined by the path's suffix.
        schema_file: the curated schema (`schema:`); without it the schema is inferred at each run.
        encoding: the encoding of CSV files.
        missing: words, such as `NA`, that mean a missing value in any column, as does empty text.
            They must match the table's text exactly.
        on_bad_rows: whether an unreadable row of CSV stops the run or is quarantined.
        max_bad_share: the share of unreadable rows above which the run stops in any case.
    """

    path: pathlib.Path
    format: Literal["csv", "parquet", "tfrecord"]
    schema_file: pathlib.Path | None = pydantic.Field(None, alias="schema")
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    missing: tuple[Code, ...] = ()
    on_bad_rows: Literal["refuse", "quarantine"] = "refuse"
    max_bad_share: Number = Number(0.01)

    @property
    def folder(self) -> pathlib.Path:
        """The folder that `pattern` is relative to."""
        return self._location[0]

    @property
    def pattern(self) -> str:
        """The pattern, relative to `folder`, of the table's files."""
        return self._location[1]

    @property
    def _location(self) -> tuple[pathlib.Path, str]:
        from components.tables import table_files

        return table_files.located(self.path)

    @pydantic.root_validator(pre=True)
    def _format_from_ending(cls, values):
        if not isinstance(values.get("path"), str):
            # The missing path is reported; do not report a missing format too.
            return {"format": "csv", **values}
        if "format" not in values:
            path = pathlib.Path(values["path"])
            endings = {".csv": "csv", ".parquet": "parquet", ".tfrecord": "tfrecord"}
            file_format = next((endings[e] for e in reversed(path.suffixes) if e in endings), None)
            if file_format is None and not path.suffix:
                file_format = "csv"
            if file_format:
                values = {**values, "format": file_format}
        return values

    @property
    def missing_words(self) -> tuple[str, ...]:
        """`missing` as text, since YAML reads a word such as -999 as a number."""
        return tuple(str(word) for word in self.missing)

    @property
    def reading(self) -> "Reading":
        """The settings with which the files are read."""
        from components.tables.table import Reading

        return Reading(self.format, self.encoding, self.missing_words)

    _usable = pydantic.validator("path", "schema_file", pre=True, allow_reuse=True)(path_text)

    @pydantic.validator("max_bad_share")
    def _share(cls, value):
        if not 0 <= value < 1:
            raise ValueError("expected a share of the rows from 0 to 1 (0.01 is 1 %)")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_the_format(cls, values):
        of_csv = ("encoding", "on_bad_rows", "max_bad_share")
        refuse(
            [
                ((key,), f"only for csv, but the format is {values['format']}; remove it")
                for key in of_csv
                if values["format"] != "csv" and values[key] != cls.__fields__[key].default
            ]
        )
        if values["format"] == "tfrecord" and values["missing"]:
            refuse([(("missing",), "only for csv and parquet; remove it")])
        return values


class Splits(Section):
    """The `splits` section: the shares of the three splits, as numbers of hash buckets.

    Attributes:
        key: the column whose hash decides the split, so that rows with the same key share one. By
            default the whole row is hashed.
    """

    train: Count = 8
    eval: Count = 1
    test: Count = 1
    key: Text | None = None
