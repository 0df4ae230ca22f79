"""A generator of tables of any length that look like Chicago's taxi trips.

    python benchmarks/taxi_table.py 1000000 trips.csv

Rows are drawn with replacement from the table that TFX ships (15,002 × 18); their amounts,
distances, coordinates and times are perturbed slightly, so that rows differ as real ones do. The
same number of rows and seed give the same file.
"""

import argparse
import importlib.util
import pathlib

import numpy as np
import pandas as pd

ROWS_AT_A_TIME = 100_000
_WHOLE = [
    "pickup_community_area",
    "trip_start_month",
    "trip_start_hour",
    "trip_start_day",
    "trip_start_timestamp",
    "pickup_census_tract",
    "dropoff_census_tract",
    "trip_seconds",
    "dropoff_community_area",
]
_DIGITS = {"fare": 2, "tips": 2, "trip_miles": 2}
_DEGREES = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"]


def source() -> pathlib.Path:
    """Returns the file of trips in the installed TFX."""
    package = importlib.util.find_spec("tfx")
    assert package and package.submodule_search_locations
    folders = [pathlib.Path(location) for location in package.submodule_search_locations]
    files = [folder / "examples/chicago_taxi_pipeline/data/simple/data.csv" for folder in folders]
    return next(file for file in files if file.exists())


def write(path: pathlib.Path, rows: int, seed: int = 0, label: bool = False) -> None:
    """Writes a CSV with `rows` rows, in chunks.

    With `label`, it has another column, `big_tip`: 1 if the tip is above 20 % of the fare.
    """
    trips = pd.read_csv(source(), dtype={name: "Int64" for name in _WHOLE})
    random = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        for start in range(0, rows, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, rows - start)
            drawn = trips.iloc[random.integers(len(trips), size=count)]
            moved = _moved(drawn, random)
            if label:
                moved["big_tip"] = (moved["tips"] > 0.2 * moved["fare"]).astype(int)
            moved.to_csv(file, index=False, header=not start)


def _moved(trips: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    def factor() -> np.ndarray:
        return random.uniform(0.9, 1.1, size=len(trips))

    amounts = {name: (trips[name] * factor()).round(n) for name, n in _DIGITS.items()}
    degrees = {
        name: (trips[name] + random.normal(0, 1e-3, len(trips))).round(9) for name in _DEGREES
    }
    minutes = random.integers(0, 60, size=len(trips))
    times = {
        "trip_start_timestamp": trips["trip_start_timestamp"] + 60 * minutes,
        "trip_seconds": trips["trip_seconds"] + minutes,
    }
    return trips.assign(**amounts, **degrees, **times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, help="number of rows")
    parser.add_argument("path", type=pathlib.Path, help="CSV to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    arguments = parser.parse_args()
    write(arguments.path, arguments.rows, arguments.seed)
