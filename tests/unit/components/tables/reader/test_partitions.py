"""Tests of columns in folder names."""

import pyarrow as pa
import pyarrow.parquet
import pytest
import table_rows

from components.tables import reader, table_files
from components.tables.column_kinds import Kind
from components.tables.table import BadTable, Piece, Reading
from pipeline.config.data_config import Data


@pytest.fixture
def written(tmp_path):
    def write(parts, format="csv"):
        for part in parts:
            path = tmp_path / "run=3" / part
            path.parent.mkdir(parents=True, exist_ok=True)
            if format == "csv":
                path.write_text("size\n1\n2\n")
            else:
                pa.parquet.write_table(pa.table({"size": [1, 2]}), path)
        data = Data(path=str(tmp_path / "run=3"), format=format)
        paths = table_files.matching(str(data.folder), data.pattern)
        return reader.open_table(paths, data.reading, folder=str(data.folder)), paths

    return write


def read(source, paths):
    kinds = source.kinds or table_rows.kinds_of(source, paths)
    blocks = table_rows.read(source, paths, kinds)
    return kinds, [row for rows in blocks for row in rows.batch.to_pylist()]


def scans(source, paths, texts):
    blocks = [block for path in paths for block in source.blocks(Piece.whole(path))]
    return [block.scan(texts) for block in blocks]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_partition_folders_become_columns(written, format):
    source, paths = written(
        ["town=New%20Ash/year=2019/a", "town=Elm/year=2020/a", "town=Elm/year=2020/_SUCCESS"],
        format,
    )
    assert list(source.names) == ["size", "town", "year"]
    assert source.notes == ("columns taken from folder names: town, year",)
    kinds, rows = read(source, paths)
    assert kinds == {"size": Kind.INT, "town": Kind.BYTES, "year": Kind.INT}
    assert rows == [
        {"size": [1], "town": [b"Elm"], "year": [2020]},
        {"size": [2], "town": [b"Elm"], "year": [2020]},
        {"size": [1], "town": [b"New Ash"], "year": [2019]},
        {"size": [2], "town": [b"New Ash"], "year": [2019]},
    ]
    years = [scan.columns["year"].to_pylist() for scan in scans(source, paths, {"year"})]
    assert years == [["2020"] * 2, ["2019"] * 2]


def test_missing_values_and_columns_that_the_files_have_too(written):
    source, paths = written(["town=__HIVE_DEFAULT_PARTITION__/size=9/a", "town=2/size=9/a"])
    kinds, rows = read(source, paths)
    assert kinds == {"size": Kind.INT, "town": Kind.INT}
    assert [(row["size"], row["town"]) for row in rows] == [
        ([1], [2]),
        ([2], [2]),
        ([1], []),
        ([2], []),
    ]


def test_files_with_different_partition_columns(written):
    with pytest.raises(BadTable, match="/year=2020/b: the columns in its folder names are year"):
        written(["town=Elm/a", "year=2020/b"])


def test_the_tables_own_folder_is_not_a_partition(tmp_path):
    (tmp_path / "year=2019").mkdir()
    (tmp_path / "year=2019" / "t.csv").write_text("size\n1\n")
    data = Data.parse_obj({"path": str(tmp_path / "year=2019" / "t.csv")})
    paths = table_files.matching(str(data.folder), data.pattern)
    source = reader.open_table(paths, Reading("csv"), folder=str(data.folder))
    assert source.infer(next(source.pieces(paths[0])))[0].keys() == {"size"}


@pytest.mark.parametrize("format", ["csv", "parquet"])
@pytest.mark.parametrize("values", [("01", "02"), ("1", "02"), ("1.0", "2")])
def test_classes_keep_their_spelling(written, format, values):
    source, paths = written([f"k={value}/a" for value in values], format)
    assert read(source, paths)[0]["k"] in (Kind.INT, Kind.FLOAT)
    reading = Reading(format, classes=["k"])
    folder = paths[0].partition("/k=")[0]
    kinds, rows = read(reader.open_table(paths, reading, folder=folder), paths)
    assert kinds == {"size": Kind.INT, "k": Kind.BYTES}
    assert [row["k"] for row in rows[::2]] == [[value.encode()] for value in sorted(values)]
    scan = scans(reader.open_table(paths, reading, folder=folder), paths, ())[0]
    assert scan.columns["k"].to_pylist() == [sorted(values)[0]] * 2


def test_a_known_kind_takes_precedence(written):
    _, paths = written(["k=1/a", "k=2/a"])
    folder = paths[0].partition("/k=")[0]
    source = reader.open_table(
        paths, Reading("csv"), {"size": Kind.INT, "k": Kind.BYTES}, folder=folder
    )
    kinds, rows = read(source, paths)
    assert kinds == {"size": Kind.INT, "k": Kind.BYTES}
    assert [row["k"] for row in rows[::2]] == [[b"1"], [b"2"]]
