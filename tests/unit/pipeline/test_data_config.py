"""How the configuration says that a table is read."""

import pydantic
import pytest

from pipeline.data_config import Data


def test_words_for_missing_values():
    reading = Data.parse_obj({"path": "t.csv", "missing": ["NA", "?", -999]}).reading
    assert (reading.format, reading.missing) == ("csv", ("NA", "?", "-999"))


@pytest.mark.parametrize(
    ("path", "missing", "message"),
    [
        ("t.tfrecord", ["NA"], "only for csv and parquet; remove it"),
        ("t.csv", [True], "put Yes, No, On and Off in quotes"),
        ("t.csv", "NA", "value is not a valid tuple"),
    ],
)
def test_what_is_no_word(path, missing, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Data.parse_obj({"path": path, "missing": missing})


def test_a_folder_of_folders_named_after_columns(tmp_path):
    (tmp_path / "town=Ash" / "year=2019").mkdir(parents=True)
    (tmp_path / "_temporary").mkdir()
    assert Data(path=str(tmp_path), format="csv").pattern == "*/*/*"
    assert Data(path=str(tmp_path / "town=Ash"), format="csv").pattern == "*/*"
