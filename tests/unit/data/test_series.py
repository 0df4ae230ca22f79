"""Tests that the table of windows is reproducible and that its blocks share no hours."""

import pathlib

import numpy as np

from data.series import make_data
from pipeline.config import config_file

COMMITTED = pathlib.Path(make_data.__file__).with_name("series.parquet")


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    make_data.write(make_data.make_table(0), tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == COMMITTED.read_bytes()
    assert make_data.make_table(1) != make_data.make_table(0)


def test_blocks_do_not_overlap_in_time():
    table = make_data.make_table(0).to_pandas()
    hours: dict[tuple[str, str], set] = {}
    for row in table.itertuples():
        shown = row.time - np.arange(make_data.WINDOW + 1) * np.timedelta64(1, "h")
        hours.setdefault((row.store, row.block), set()).update(shown)
    for store in table.store.unique():
        blocks = [known for (name, _), known in hours.items() if name == store]
        assert sum(map(len, blocks)) == len(set().union(*blocks))


def test_a_window_ends_where_its_label_begins():
    table = make_data.make_table(0).to_pandas()
    first, second = table.iloc[0], table.iloc[1]
    assert second.window[-1] == first.next_value
    assert (second.window[:-1] == first.window[1:]).all()


def test_simple_forecasts_do_not_pass_the_gate():
    errors = make_data.root_mean_squares(make_data.make_table(0))
    gates = config_file.load(COMMITTED.with_name("pipeline.yaml")).gates
    assert gates is not None
    gate = gates["rmse"]
    assert gate.absolute is not None
    assert min(errors.values()) > 1.3 * gate.absolute
