"""The `data` and `splits` sections of the configuration."""

import pathlib
from typing import TYPE_CHECKING, Literal

import pydantic

from pipeline.fields import Code, Count, Number, Section, Text, path_text, refuse

if TYPE_CHECKING:
    from components.tables.table import Reading


class Data(Section):
    """Where the table is.

    Attributes:
        path: a file, a folder of files of one format, or a pattern of files, as `sales-*.csv`; of
            a folder of folders named `column=value`, the files within these;
            of files by span and version, as `day-{SPAN}/v{VERSION}/*.csv`, the latest are read.
        format: by default what the file's ending says.
        schema_file: the curated schema (`schema:`); without it the schema is inferred at each run.
        encoding: of CSV.
        missing: words that stand for a missing value in any column, as `NA`, beside the empty
            text; exactly as they are written in the table.
        on_bad_rows: whether a row of CSV that cannot be read ends the run, or is put aside.
        max_bad_share: the share of such rows above which the run ends all the same.
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
        return self._place[0]

    @property
    def pattern(self) -> str:
        """Which files in the folder are the table's."""
        return self._place[1]

    @property
    def _place(self) -> tuple[pathlib.Path, str]:
        from components.tables import files

        return files.located(self.path)

    @pydantic.root_validator(pre=True)
    def _format_from_ending(cls, values):
        if not isinstance(values.get("path"), str):
            # Without a path there is nothing to say about the format.
            return {"format": "csv", **values}
        if "format" not in values:
            path = pathlib.Path(values["path"])
            endings = {".csv": "csv", ".parquet": "parquet", ".tfrecord": "tfrecord"}
            found = next((endings[e] for e in reversed(path.suffixes) if e in endings), None)
            if found is None and not path.suffix:
                found = "csv"
            if found:
                values = {**values, "format": found}
        return values

    @property
    def missing_words(self) -> tuple[str, ...]:
        """`missing` as text; YAML reads -999 as a number."""
        return tuple(str(word) for word in self.missing)

    @property
    def reading(self) -> "Reading":
        """How the files are read."""
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
    """Shares of the three splits, as numbers of hash buckets.

    Attributes:
        key: the column whose hash decides; rows of one key share a split. By default the hash of
            the whole row.
    """

    train: Count = 8
    eval: Count = 1
    test: Count = 1
    key: Text | None = None
