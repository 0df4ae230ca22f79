"""Fixtures with transformed tables, created once for all tests of this folder."""

import functools
import pathlib

import numpy as np
import pytest
import rich_table
from rich_table import Server, Transformed

from models.features import packed_tensors

_REQUIRED = "presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }"


@pytest.fixture(scope="session")
def rich(once) -> Transformed:
    """Returns the transformed rich table, with a regression label."""
    return once("rich", rich_table.transform_rich)


@pytest.fixture(scope="session")
def rich_train(rich) -> dict[str, np.ndarray]:
    """Returns the transformed train split of the rich table; row i is `rich.train_rows[i]`."""
    return by_row(rich, rich.train_files, rich.train_rows)


def by_row(table, files, rows) -> dict[str, np.ndarray]:
    """Returns transformed examples in the order of the raw rows, which Beam may change."""
    arrays = rich_table.read(files, table.output.transformed_feature_spec())
    order = {label: number for number, label in enumerate(arrays[packed_tensors.LABEL].tolist())}
    assert len(order) == len(rows), "labels must tell rows apart"
    index = [order[row[table.label]] for row in rows]
    return {name: array[index] for name, array in arrays.items()}


@pytest.fixture(scope="session")
def full(once) -> Transformed:
    """Returns a table with ordinal columns, lists, derived features, a weight and three labels."""
    return once("full", rich_table.full_table)


@pytest.fixture(scope="session")
def serve(rich) -> Server:
    """Returns a server that transforms rows of the rich table as in serving."""
    return Server(rich)


def _class_rows(count: int, seed: int, classes: list, weights: list[float]) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        number = int(rng.choice(len(classes), p=weights))
        rows.append(
            {
                "x": float(np.float32(number + rng.normal(0, 0.7))),
                "side": str(rng.choice(["left", "right"])),
                "outcome": classes[number],
            }
        )
    return rows


def _class_table(
    task: str, dtype: str, classes: list, weights: list[float], folder: pathlib.Path
) -> Transformed:
    schema = f"""
        feature {{ name: "x" type: FLOAT {_REQUIRED} }}
        feature {{ name: "side" type: BYTES {_REQUIRED} }}
        feature {{ name: "outcome" type: {dtype} {_REQUIRED} }}
    """
    rows = [_class_rows(count, seed, classes, weights) for count, seed in ((400, 3), (150, 4))]
    return rich_table.transform(folder, schema, {}, "outcome", task, *rows)


@pytest.fixture(scope="session")
def binary(once) -> Transformed:
    """Returns a table with a text label of two classes, of which the rarer one is positive."""
    arguments = ("binary", "BYTES", ["no", "yes"], [0.7, 0.3])
    return once("binary", functools.partial(_class_table, *arguments))


@pytest.fixture(scope="session")
def multiclass(once) -> Transformed:
    """Returns a table with an integer label of three classes, which sort differently as text."""
    arguments = ("multiclass", "INT", [9, 10, 11], [0.2, 0.5, 0.3])
    return once("multiclass", functools.partial(_class_table, *arguments))
