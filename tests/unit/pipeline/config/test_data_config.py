"""Tests of the `data` section of the configuration."""

import pydantic
import pytest

from components.tables import table_files
from pipeline.config.data_config import Data


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
def test_invalid_words_for_missing_values_are_refused(path, missing, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        Data.parse_obj({"path": path, "missing": missing})


def test_a_folder_of_folders_named_after_columns(tmp_path):
    (tmp_path / "town=Ash" / "year=2019").mkdir(parents=True)
    (tmp_path / "_temporary").mkdir()
    assert Data(path=str(tmp_path), format="csv").pattern == "*/*/*"
    assert Data(path=str(tmp_path / "town=Ash"), format="csv").pattern == "*/*"


@pytest.mark.parametrize("folder", ["[v1] {a}", "x*y?", "day-{SPAN}", "[v1]/{a}"])
class TestAFolderWithLettersOfPatterns:
    @pytest.fixture
    def directory(self, tmp_path, folder):
        for name in (folder, "v", "xAyB", "day-1"):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "part-1.csv").write_text("size\n1\n")
        return tmp_path / folder

    @pytest.mark.parametrize("pattern", ["part-*.csv", "part-1.csv", "part-[0-9].csv", ""])
    def test_an_existing_path_is_not_a_pattern(self, directory, pattern):
        data = Data.parse_obj({"path": str(directory / pattern)})
        assert data.folder == directory
        assert table_files.matching(str(data.folder), data.pattern) == [
            str(directory / "part-1.csv")
        ]

    def test_a_folder_with_special_characters_may_precede_a_pattern(self, directory):
        (directory / "town=Ash").mkdir()
        (directory / "town=Ash" / "part-2.csv").write_text("size\n1\n")
        data = Data.parse_obj({"path": str(directory / "town=*" / "part-*.csv")})
        assert (data.folder, data.pattern) == (directory, "town=*/part-*.csv")
        assert Data.parse_obj({"path": str(directory)}).pattern == "*/*"


def test_a_pattern_of_folders(tmp_path):
    (tmp_path / "a").mkdir()
    data = Data.parse_obj({"path": str(tmp_path / "a" / "v{VERSION}" / "x" / "*.csv")})
    assert (data.folder, data.pattern) == (tmp_path / "a", "v{VERSION}/x/*.csv")
    data = Data.parse_obj({"path": "nowhere/else/t.csv"})
    assert (str(data.folder), data.pattern) == ("nowhere/else", "t.csv")
    data = Data.parse_obj({"path": "[nowhere]/*.csv"})
    assert (str(data.folder), data.pattern) == (".", "[nowhere]/*.csv")
