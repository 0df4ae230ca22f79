"""What Arrow finds well, the checks row by row find well too."""

import pathlib
import tempfile

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import config_file, csv_checks, csv_columns

SETTINGS = {
    "label": "price",
    "data": "houses.csv",
    "weight": "count",
    "splits": {"key": "id"},
    "slices": [{"column": "rooms", "bands": [2]}],
}
HEADER = "id,price,count,rooms,note\n"


def problem(folder: str, text: str, task: str, on_bad_rows: str = "refuse"):
    place = pathlib.Path(folder)
    (place / "houses.csv").write_bytes(text.encode())
    gate = {"mae": {"at_most": 1}} if task == "regression" else {"log_loss": {"at_most": 1}}
    content = {**SETTINGS, "name": "houses", "task": task, "gates": gate}
    content["data"] = {"path": "houses.csv", "on_bad_rows": on_bad_rows}
    (place / "pipeline.yaml").write_text(yaml.safe_dump(content))
    return config_file.load(place / "pipeline.yaml")


numbers = st.sampled_from(["1", "2.5", "+3", "0", "-1", "007", "1e3", "9223372036854775808"])
odd = st.sampled_from(["", "inf", "nan", "1_000", " 4", "0x1F", "a", '"b, c"', '"d\ne"', '"', "é"])
value = st.one_of(numbers, numbers, numbers, odd)
rows = st.lists(st.lists(value, min_size=4, max_size=6), max_size=4)


@settings(max_examples=300, deadline=None)
@given(rows, st.sampled_from(["regression", "multiclass"]), st.sampled_from(["\n", "\r\n"]))
def test_what_is_well_has_no_mistakes(rows, task, end):
    text = HEADER + "".join(",".join(row) + end for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        config = problem(folder, text, task)
        files = [config.data.path]
        names = csv_checks.columns(config, files[0])
        if csv_columns.are_well(config, files[0], names):
            assert csv_checks._row_mistakes(config, files[0]) == []
            assert csv_checks._key_mistakes(config, files) == []


@pytest.mark.parametrize(
    ("row", "well"),
    [
        ("7,100000,1,3,old", True),
        ("a7,100000,1,3,", True),
        ("7,,1,3,old", False),
        ("7,100000,-1,3,old", False),
        ("7,100000,1,many,old", False),
        ("7.5,100000,1,3,old", False),
        (",100000,1,3,old", False),
        ("7,100000,1,3", False),
        ("7,inf,1,3,old", False),
    ],
)
def test_what_arrow_sees(tmp_path, row, well):
    config = problem(str(tmp_path), f"{HEADER}8,90000,1,2,new\n{row}\n", "regression")
    names = csv_checks.columns(config, config.data.path)
    assert csv_columns.are_well(config, config.data.path, names) == well
