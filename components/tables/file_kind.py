"""Recognition of file formats by their first bytes, whatever the files are called."""

import re
import struct
from typing import Literal

import google_crc32c

Format = Literal["csv", "parquet", "tfrecord"]

HEAD_BYTES = 1 << 12
"""Number of bytes at the start of a file that `refusal` needs."""

GZIP = b"\x1f\x8b\x08"
PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_UNPACK = "extract the table and give the path of that file"

# First bytes of a format, what the file is, and what to do about it.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (GZIP, "is gzipped", "unzip it"),
    (b"BZh", "is compressed with bzip2", "unpack it (bunzip2); only gzip is supported"),
    (b"\xfd7zXZ\0", "is compressed with xz", "unpack it (unxz); only gzip is supported"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "unpack it (unzstd); only gzip is supported"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4", "unpack it (unlz4); only gzip is supported"),
    (b"\xff\x06\0\0sNaPpY", "is compressed with snappy", "unpack it; only gzip is supported"),
    (b"\x1f\x9d", "is compressed with compress", "unpack it (uncompress); only gzip is supported"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "is a RAR archive", _UNPACK),
    (b"PK\x05\x06", "is an empty zip archive", "give the path of the table"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Office document", "save the sheet as CSV"),
    (b"ORC", "is an ORC file", "convert it to Parquet"),
    (b"ARROW1", "is an Arrow (Feather) file", "convert it to Parquet"),
    (b"FEA1", "is a Feather file", "convert it to Parquet"),
    (b"Obj\x01", "is an Avro file", "convert it to Parquet"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file", "convert it to Parquet"),
    (b"SQLite format 3\0", "is an SQLite database", "export the table as CSV"),
    (b"\x93NUMPY", "is a NumPy array", "convert it to Parquet"),
    (b"<stata_dta>", "is a Stata file", "convert it to Parquet"),
    (b"$FL2", "is an SPSS file", "convert it to Parquet"),
    (b"RDX", "is an R data file", "export the table as CSV"),
    (b"PARE", "is an encrypted Parquet file", "decrypt it"),
    (b"%PDF-", "is a PDF", "export the table as CSV"),
    (
        b"version https://git-lfs.github.com",
        "is a Git LFS pointer, not the data",
        "run git lfs pull",
    ),
    (b"/annex/objects/", "is a git-annex pointer, not the data", "run git annex get"),
    (b"\xff\xfe\0\0", "is UTF-32", "convert it to UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    (b"\0\0\xfe\xff", "is UTF-32", "convert it to UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    (b"\xff\xfe", "is UTF-16", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "is UTF-16", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
)
_MARKUP = (
    (rb"<(!doctype\s+html|html|head|body|table)\b", "an HTML page", "download the table itself"),
    (rb"<(\?xml|!doctype)\b", "XML", "convert it to CSV"),
    (rb"\[?\s*\{\s*(\"|\})", "JSON", "convert it to CSV or Parquet"),
)


def refusal(head: bytes, wanted: Format) -> str:
    """Returns what a file is instead of the wanted format, and what to do; empty if it may fit.

    Args:
        head: first bytes of the file, unzipped.
        wanted: the format that the file should have.
    """
    if not head or (wanted == "parquet" and head.startswith(PARQUET)):
        return ""
    if wanted == "tfrecord" and is_tfrecord(head):
        return ""
    if head.startswith(PARQUET):
        return "is a Parquet file; set data.format: parquet"
    if is_tfrecord(head):
        return "is a TFRecord file; set data.format: tfrecord"
    known = _known(head)
    if known:
        return known
    is_text = b"\0" not in head and b"," in head.partition(b"\n")[0]
    if wanted == "parquet":
        return "is text, not Parquet; set data.format: csv" if is_text else "is not a Parquet file"
    if wanted == "tfrecord":
        # A damaged record is reported with its number when it is read.
        return "is text, not TFRecords; set data.format: csv" if is_text else ""
    return _not_text(head.partition(b"\n")[0])


def _known(head: bytes) -> str:
    if head.startswith(b"PK\x03\x04"):
        return _zipped(head)
    for start, what, advice in _SIGNATURES:
        if head.startswith(start):
            return f"{what}; {advice}"
    if head[257:262] == b"ustar":
        return f"is a tar archive; {_UNPACK}"
    text = head.removeprefix(_BOM).lstrip()
    for pattern, what, advice in _MARKUP:
        if re.match(pattern, text, re.IGNORECASE):
            return f"is {what}; {advice}"
    return ""


def _zipped(head: bytes) -> str:
    if b"opendocument.spreadsheet" in head[:100]:
        return "is an OpenDocument spreadsheet; save the sheet as CSV"
    if b"[Content_Types].xml" in head or b"xl/" in head or b"docProps/" in head:
        return "is an Excel workbook (xlsx); save the sheet as CSV"
    return f"is a zip archive; {_UNPACK} (only gzip is supported)"


def is_tfrecord(head: bytes) -> bool:
    """Returns whether the bytes begin with a record's length and its masked checksum."""
    if len(head) < 12:
        return False
    length, checksum = head[:8], struct.unpack_from("<I", head, 8)[0]
    crc = google_crc32c.value(length)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF == checksum


def _not_text(line: bytes) -> str:
    """Returns what is wrong with a first line that has a NUL byte in it; empty without one."""
    offset = line.find(b"\0")
    if offset < 0:
        return ""
    if max(line[::2].count(b"\0"), line[1::2].count(b"\0")) > len(line) / 4:
        return "is UTF-16; convert it to UTF-8 (iconv -f UTF-16LE -t UTF-8, or UTF-16BE)"
    return f"is not text: byte {offset + 1} is NUL; expected a CSV file"
