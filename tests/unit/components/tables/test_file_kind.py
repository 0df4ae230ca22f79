"""Tests that files other than plain CSV are recognized, with one line that says what to do."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import table_rows

from components.tables import reader, table_files
from components.tables.column_kinds import Kind
from components.tables.table import BadTable, Reading

ROWS = b"size,rooms,cost\n1,2,3\n4,5,6\n"
CSV = Reading("csv")


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, ROWS)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("t.csv")
        member.size = len(ROWS)
        archive.addfile(member, io.BytesIO(ROWS))
    return content.getvalue()


def parquet() -> bytes:
    content = io.BytesIO()
    pa.parquet.write_table(pa.table({"size": [1, 2]}), content)
    return content.getvalue()


def feather() -> bytes:
    content = io.BytesIO()
    pa.feather.write_feather(pa.table({"size": [1, 2]}), content)
    return content.getvalue()


TEXT = ROWS.decode()
NOT_CSV = {
    "UTF-16 with a byte order mark": (TEXT.encode("utf-16"), "is UTF-16; convert it to UTF-8"),
    "UTF-16 big-endian": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "is UTF-16; convert it to UTF-8"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "is UTF-16; convert it to UTF-8"),
    "UTF-16 big-endian without": (TEXT.encode("utf-16-be"), "is UTF-16; convert it to UTF-8"),
    "UTF-32": (TEXT.encode("utf-32"), "is UTF-32; convert it to UTF-8"),
    "NUL": (b"si\0ze,cost\n1,2\n", "is not text: byte 3 is NUL; expected a CSV"),
    "xlsx": (zipped("[Content_Types].xml"), "is an Excel workbook (xlsx); save the sheet as CSV"),
    "xlsx in another order": (zipped("xl/workbook.xml"), "is an Excel workbook (xlsx)"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "is an old Office document"),
    "zip": (zipped("t.csv"), "is a zip archive; extract the table and give the path of that file"),
    "bz2": (bz2.compress(ROWS), "is compressed with bzip2; unpack it (bunzip2)"),
    "xz": (lzma.compress(ROWS), "is compressed with xz; unpack it (unxz); only gzip is supported"),
    "zst": (pa.compress(ROWS, "zstd", asbytes=True), "is compressed with zstd; unpack it (unzstd)"),
    "tar": (tarred(), "is a tar archive; extract the table"),
    "tar.gz": (gzip.compress(tarred()), "is a tar archive; extract the table"),
    "zipped twice": (gzip.compress(gzip.compress(ROWS)), "is gzipped; unzip it"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><body>Log in", "is an HTML page; download the table"),
    "XML": (b'<?xml version="1.0"?><rows/>', "is XML; convert it to CSV"),
    "JSON": (b'[\n  {"size": 1}\n]', "is JSON; convert it to CSV or Parquet"),
    "JSON lines": (b'{"size": 1}\n{"size": 2}\n', "is JSON; convert it to CSV or Parquet"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
        "is a Git LFS pointer, not the data; run git lfs pull",
    ),
    "Parquet": (parquet(), "is a Parquet file; set data.format: parquet"),
    "Feather": (feather(), "is an Arrow (Feather) file; convert it to Parquet"),
    "SQLite": (b"SQLite format 3\0" + bytes(50), "is an SQLite database; export the table as CSV"),
    "PDF": (b"%PDF-1.4\n", "is a PDF; export the table as CSV"),
}


@pytest.mark.parametrize("name", NOT_CSV)
def test_other_formats_are_refused_by_name(tmp_path, name):
    content, message = NOT_CSV[name]
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(BadTable) as caught:
        reader.open_table([str(file)], CSV)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS, "is text, not Parquet; set data.format: csv"),
        (gzip.compress(parquet()), "is gzipped; unzip it"),
        (parquet()[:-4], "is truncated"),
        (parquet()[:20], "is truncated"),
    ],
)
def test_files_that_are_not_parquet(tmp_path, content, message):
    file = tmp_path / "t.parquet"
    file.write_bytes(content)
    with pytest.raises(BadTable, match=f"t.parquet: {message}"):
        reader.open_table([str(file)], Reading("parquet"))


HEADERS = {
    "semicolons": ("size;rooms;cost\n1,5;2;3\n", ":1: the columns are separated by semicolons;"),
    "tabs": ("size\trooms\tcost\n1\t2\t3\n", ":1: the columns are separated by tabs; only commas"),
    "pipes": ("size|rooms|cost\n1|2|3\n", ":1: the columns are separated by pipes; only commas"),
    "Excel's first line": ("sep=;\nsize;cost\n1;2\n", ":1: begins with Excel's sep= line; remove"),
    "CR": ("size,cost\r1,2\r3,4\r", ": lines end with CR alone; convert them"),
    "a title": ("Sales 2020\nsize,cost\n1,2\n", ":1: has 1 name, but the next rows have 2 fields"),
    "a padded title": ("Sales,,\nsize,rooms,cost\n1,2,3\n", ":1: columns 2, 3 have no name; name"),
    "a row index": (",size,cost\n0,1,2\n", ":1: column 1 has no name; name it, or leave it out"),
    "a blank name": ("size, ,cost\n0,1,2\n", ":1: column 2 has no name"),
    "one name twice": ("\nsize,b,size\n0,1,2\n", ":2: columns 1, 3 are all called size; rename"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_first_lines_that_are_not_a_header(tmp_path, name):
    text, message = HEADERS[name]
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode())
    with pytest.raises(BadTable) as caught:
        reader.open_table([str(file)], CSV)
    assert str(caught.value).startswith(f"{file}{message}")


@pytest.mark.parametrize(
    "text", ["a;b,c\n1,2\n", "a,b\n1;2;3,4\n", "a|b\n1\n2\n", "\n\na,b\n1,2\n", "\ufeffa,b\n1,2"]
)
def test_headers_that_are_read(tmp_path, text):
    file = tmp_path / "t.csv"
    file.write_text(text, encoding="utf-8")
    expected = text.lstrip("\ufeff\n").partition("\n")[0].split(",")
    assert list(reader.open_table([str(file)], CSV).names) == expected


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_gzip_by_any_name(tmp_path, name, pack):
    file = tmp_path / name
    file.write_bytes(pack(ROWS))
    source = reader.open_table([str(file)], CSV)
    rows = [rows.batch.to_pydict() for rows in table_rows.read(source, [file])]
    assert rows == [{"size": [[1], [4]], "rooms": [[2], [5]], "cost": [[3], [6]]}]


def many(rows: int) -> bytes:
    return b"size,cost\n" + b"".join(b"%d,%d\n" % (n * 7919 % 9973, n) for n in range(rows))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95, 1])
def test_a_truncated_gzipped_file(tmp_path, share):
    file = tmp_path / "t.csv.gz"
    content = gzip.compress(many(20_000))
    file.write_bytes(content[: int(share * len(content)) - 4])
    kinds = {"size": Kind.INT, "cost": Kind.INT}

    def infer(source, piece):
        source.infer(piece)

    def read(source, piece):
        [block.features(kinds) for block in source.blocks(piece)]

    for use in (infer, read):
        with pytest.raises(BadTable, match="t.csv.gz: is truncated; copy or create the file again"):
            source = reader.open_table([str(file)], CSV, block_bytes=1 << 14)
            use(source, next(source.pieces(str(file))))


def test_a_gzipped_file_that_is_damaged(tmp_path):
    file = tmp_path / "t.csv.gz"
    content = bytearray(gzip.compress(many(20_000)))
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    source = reader.open_table([str(file)], CSV)
    (piece,) = source.pieces(str(file))
    with pytest.raises(BadTable, match="t.csv.gz: is (damaged|truncated)"):
        source.infer(piece)


def test_several_gzipped_parts_in_one_file(tmp_path):
    file = tmp_path / "t.csv.gz"
    file.write_bytes(gzip.compress(ROWS) + gzip.compress(b"7,8,9\n"))
    source = reader.open_table([str(file)], CSV)
    assert sum(rows.count for rows in table_rows.read(source, [file])) == 3


class TestMatching:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "[v1] {a} #?*"
        for name in (
            *("b.csv", "a.csv", "_SUCCESS", "._SUCCESS.crc", ".a.csv.crc", ".DS_Store"),
            *("_temporary/c.csv", ".ipynb_checkpoints/a.csv", "__MACOSX/._a.csv", "d/e.csv"),
            *("d/_metadata", "d/.e.csv.crc"),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(ROWS)
        return folder

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*", ["a.csv", "b.csv"]),
            ("*.csv", ["a.csv", "b.csv"]),
            ("*/*", ["d/e.csv"]),
            ("_*", ["_SUCCESS"]),
            ("_temporary/*.csv", ["_temporary/c.csv"]),
            ("x*", []),
        ],
    )
    def test_hidden_files_are_skipped(self, folder, pattern, expected):
        found = table_files.matching(str(folder), pattern)
        assert found == [str(folder / name) for name in expected]


def test_empty_and_header_only_files_among_others(tmp_path):
    for name, content in (("a", b""), ("b", b"size,rooms,cost\n"), ("c", ROWS), ("d", b"\n")):
        (tmp_path / name).write_bytes(content)
    paths = table_files.matching(str(tmp_path), "*")
    source = reader.open_table(paths, CSV)
    pieces = [piece for path in paths for piece in source.pieces(path)]
    assert sum(piece.rows or 0 for piece in pieces) == 2
    with pytest.raises(BadTable, match="a: is empty; expected a header line and rows"):
        reader.open_table(paths[:1], CSV)
