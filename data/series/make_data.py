"""Make ``series.parquet``: windows of hourly sales of fictional stores, and the hour that follows.

    python data/series/make_data.py

The hourly sales of a store are the product of its level, a daily cycle, a weekly cycle,
autocorrelated noise and the effects of events (an offer, a match nearby). An event takes effect
after an hour, peaks after four hours and fades within a day: so a window shows the effects of past
events, and the events themselves tell which effects are still to come.

A week of a store is a block. Only windows that lie within a block, together with the hour that
follows, are kept; so rows of different blocks share no values, and a split by block does not leak.

The same seed gives the same bytes, given the same versions of numpy and pyarrow, which is all that
it needs.
"""

import argparse
import datetime
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STORES = 24
WEEKS = 4
WINDOW = 24
"""Hours of sales in a row."""

_WEEK = 7 * 24
_BEGIN = datetime.datetime(2024, 1, 1)  # a Monday
_DAYS_BETWEEN_EVENTS = 1.5
_DAY = np.arange(24)


def _hourly_sales(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulates a store: its sales, and whether an event happens, in each hour of all weeks."""
    hours = np.arange(WEEKS * _WEEK)
    level = rng.lognormal(np.log(120), 0.5)
    # Demand peaks at noon and after work, in a proportion that differs between stores.
    noon, evening = (
        np.exp(-(((_DAY - peak) / width) ** 2)) for peak, width in ((12, 3), (18, 2.5))
    )
    share = rng.uniform(0.2, 0.8)
    day = 0.3 + share * noon + (1 - share) * evening
    week = np.array([0.9, 0.9, 0.95, 1.0, 1.2, 1.4, 0.7]) * rng.normal(1, 0.05, 7)
    noise = np.zeros(len(hours))
    shocks = rng.normal(0, 0.06, len(hours))
    for hour in hours[1:]:
        noise[hour] = 0.85 * noise[hour - 1] + shocks[hour]

    events = rng.random(len(hours)) < 1 / (24 * _DAYS_BETWEEN_EVENTS)
    age = np.arange(1, WINDOW + 1)
    effect = np.concatenate([[0.0], 0.5 * age / 4 * np.exp(1 - age / 4)])
    push = np.convolve(events, effect)[: len(hours)]
    return level * day[hours % 24] * week[hours // 24 % 7] * np.exp(noise + push), events


def make_table(seed: int) -> pa.Table:
    """Returns the table of all stores."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list] = {
        name: []
        for name in ("store", "block", "time", "weekday", "hour", "window", "events", "next_value")
    }
    for index in range(STORES):
        sales, events = _hourly_sales(rng)
        sales = sales.astype(np.float32).round(2)
        store = f"store_{index:02}"
        for week in range(WEEKS):
            for end in range(week * _WEEK + WINDOW, (week + 1) * _WEEK):
                time = _BEGIN + datetime.timedelta(hours=end)
                shown = slice(end - WINDOW, end)
                columns["store"].append(store)
                columns["block"].append(f"{store}/{week}")
                columns["time"].append(time)
                columns["weekday"].append(time.weekday())
                columns["hour"].append(time.hour)
                columns["window"].append(sales[shown])
                columns["events"].append(end - shown.start - np.flatnonzero(events[shown]))
                columns["next_value"].append(sales[end])
    window = pa.array(np.concatenate(columns["window"]))
    return pa.table(
        {
            **columns,
            "time": pa.array(columns["time"], pa.timestamp("s")),
            "window": pa.FixedSizeListArray.from_arrays(window, WINDOW),
            "events": pa.array(columns["events"], pa.list_(pa.int64())),
        }
    )


def write(table: pa.Table, path: pathlib.Path) -> None:
    """Writes the table as Parquet."""
    # Consecutive windows are almost the same bytes, which a dictionary would hide from zstd.
    pq.write_table(table, path, compression="zstd", use_dictionary=["store", "block"])


def root_mean_squares(table: pa.Table) -> dict[str, float]:
    """Returns the RMSE of forecasts that need no learning, over the whole table."""
    truth = table["next_value"].to_numpy()
    windows = table["window"].combine_chunks().flatten().to_numpy().reshape(-1, WINDOW)
    forecasts = {
        "the mean": np.full_like(truth, truth.mean()),
        "the last value": windows[:, -1],
        "the value of a day before": windows[:, 0],
    }
    return {
        name: float(np.sqrt(np.mean((forecast - truth) ** 2)))
        for name, forecast in forecasts.items()
    }


def main() -> None:
    """Writes the table and prints the errors of simple forecasts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(__file__).with_name("series.parquet"),
        help="where to write the table (default: beside this script)",
    )
    args = parser.parse_args()
    table = make_table(args.seed)
    write(table, args.output)
    print(f"{args.output}: {table.num_rows} rows, {args.output.stat().st_size / 1e6:.1f} MB")
    for name, error in root_mean_squares(table).items():
        print(f"RMSE of {name}: {error:.1f}")


if __name__ == "__main__":
    main()
