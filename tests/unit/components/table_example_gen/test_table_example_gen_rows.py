"""Tests of unreadable rows, other encodings, the schema's types and the files of a run."""

import gzip
import pathlib
import subprocess
import sys
from typing import Any

import beam_steps
import example_gens
import pytest
import table_rows
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto import example_gen_pb2

from components.table_example_gen import BadTable, Options, TableExampleGen
from components.tables import bad_rows, reader
from components.tables.table import NO_ROWS

GOOD = "id,price,city\n" + "".join(f"{i},{i / 4},city {i % 5}\n" for i in range(200))


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()

    def write(content, name="table.csv"):
        content = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return folder

    return write


def count(examples) -> int:
    return sum(sum(rows.values()) for rows in examples.rows().values())


BAD = [
    ("1,2,3,4", "found 4 fields, expected 3 as in the header: '1,2,3,4'"),
    ("1", "found 1 field, expected 3 as in the header: '1'"),
    (b"1,2,K\xf6ln", "city: found 'Köln', which is not utf-8; set data.encoding: latin-1"),
    (b"1,2,\0", r"city: found '\x00', which contains a NUL character; remove it"),
]
TYPED = [
    ("1,cheap,x", "price: found 'cheap', expected a number"),
    ("1.5,2,x", "id: found '1.5', expected a whole number"),
    ("9223372036854775808,2,x", "id: found '9223372036854775808', expected a whole number"),
    ("0x1,2,x", "id: found '0x1', expected a whole number"),
]
KINDS = {"id": "INT", "price": "FLOAT", "city": "BYTES"}


def with_bad_rows(*rows) -> bytes:
    """Returns a table whose line 204 and the following ones are bad, and the last is good again."""
    bad = [row if isinstance(row, bytes) else row.encode() for row in rows]
    return GOOD.encode() + b'7,7,"two\nlines"\n' + b"\n".join([*bad, b"9,9,end\n"])


# A step that infers the kinds of columns finds a bad row earlier than the one that writes.
BY_STEP: list[tuple[Any, ...]] = [(*bad, {}) for bad in BAD] + [(*bad, KINDS) for bad in TYPED]


@pytest.mark.parametrize(("row", "reason", "kinds"), BY_STEP)
def test_a_bad_row_is_found_with_its_location(table, row, reason, kinds):
    """Calls the functions that our Beam pipeline calls."""
    file = str(table(with_bad_rows(row)) / "table.csv")
    options = Options(**example_gens.SMALL, kinds=kinds)
    known = options.known_kinds()
    source = reader.open_table([file], options.reading, known, options.block_bytes)
    if known:
        bad = [row for rows in table_rows.read(source, [file], known) for row in rows.bad]
    else:
        bad = [row for piece in source.pieces(file) if (row := source.infer(piece)[1])]
    assert [str(row) for row in bad] == [f"{file}:204: {reason}"]


@pytest.mark.parametrize(("row", "reason", "kinds"), [BY_STEP[0], BY_STEP[-1]])
def test_a_bad_row_is_refused_with_its_location(table, row, reason, kinds):
    folder = table(with_bad_rows(row))
    with pytest.raises(BadTable) as caught:
        example_gens.ours(folder, kinds=kinds)
    assert str(caught.value) == f"{folder / 'table.csv'}:204: {reason}; {bad_rows.ADVICE}"


@pytest.mark.parametrize(("bad", "kinds"), [(BAD, {}), (BAD + TYPED, KINDS)])
def test_bad_rows_are_quarantined(table, bad, kinds):
    folder = table(with_bad_rows(*(row for row, _ in bad)))
    found = example_gens.ours(folder, kinds=kinds, on_bad_rows="quarantine", max_bad_share=0.1)
    assert count(found) == 202
    assert found.report["rows"] == 202 + len(bad)
    assert found.artifact.get_int_custom_property("quarantined_rows") == len(bad)
    file = str(folder / "table.csv")
    for line, (row, (_, reason)) in enumerate(zip(found.quarantine, bad, strict=True), 204):
        assert (row["file"], row["line"]) == (file, line)
        assert f"{row['column']}: {row['reason']}".removeprefix(": ") == reason


def test_quarantined_rows_do_not_change_the_others(table):
    folder = table(GOOD)
    whole = example_gens.ours_without_beam(folder / "table.csv")
    table(GOOD.replace("\n57,", "\n1,2\n57,").replace("\n111,", "\n1,2,3,4\n,,,,\n111,"))
    found = example_gens.ours(folder, on_bad_rows="quarantine", max_bad_share=0.02)
    assert found.rows() == whole
    assert [row["line"] for row in found.quarantine] == [59, 114, 115]
    assert [row["content"] for row in found.quarantine] == ["1,2", "1,2,3,4", ",,,,"]


def test_too_many_bad_rows_are_refused(table):
    folder = table(GOOD + "1,2\n" * 50)
    with pytest.raises(BadTable) as caught:
        example_gens.ours(folder, on_bad_rows="quarantine")
    assert str(caught.value) == (
        "50 of 250 rows cannot be read, more than data.max_bad_share (0.01); fix them or raise it; "
        "the first is "
        f"{folder / 'table.csv'}:202: found 2 fields, expected 3 as in the header: '1,2'"
    )


def test_a_late_word_makes_a_column_text_without_a_schema(table):
    found = example_gens.ours(table(GOOD + "7,n/a,x\n"))
    assert found.report["kinds"] == {"id": "INT", "price": "BYTES", "city": "BYTES"}


def test_types_come_from_the_schema(table):
    kinds = {"id": "BYTES", "price": "FLOAT", "city": "BYTES"}
    folder = table("id,price,city\n007,3,a\n008,+4,\n")
    found = example_gens.ours_without_beam(folder / "table.csv", kinds=kinds)
    rows = sum(found.values(), example_gens.collections.Counter())
    assert len(rows) == 2
    for record in rows:
        features = example_gens.tf.train.Example.FromString(record).features.feature
        assert features["id"].bytes_list.value[0] in (b"007", b"008")
        assert features["price"].float_list.value[0] in (3.0, 4.0)


def test_types_missing_from_the_schema_are_inferred(table):
    found = example_gens.ours(table(GOOD), kinds={"id": "FLOAT"})
    assert found.report["kinds"] == {"id": "FLOAT", "price": "FLOAT", "city": "BYTES"}


def test_latin_1(table):
    text = "id,größe,city\n1,2,Köln\n2,3.5,Zürich\n"
    folder = table(text)
    expected = example_gens.ours_without_beam(folder / "table.csv")
    table(text.encode("latin-1"))
    assert example_gens.ours(folder, encoding="latin-1").rows() == expected
    with pytest.raises(BadTable, match="table.csv:1: the header is not utf-8; set data.encoding"):
        example_gens.ours(folder)


@pytest.mark.parametrize("quoted", [False, True])
def test_a_byte_order_mark_and_a_quoted_header(table, quoted):
    file = table(GOOD) / "table.csv"
    expected = example_gens.ours_without_beam(file)
    header = '"id","price","city"\n' if quoted else "id,price,city\n"
    table(b"\xef\xbb\xbf" + GOOD.replace("id,price,city\n", header).encode())
    assert example_gens.ours_without_beam(file) == expected


def test_gzipped_and_several_files(table):
    folder = table(GOOD)
    expected = example_gens.ours_without_beam(folder / "table.csv")
    lines = GOOD.splitlines(keepends=True)
    table("".join(lines[:80]), "table.csv")
    table(lines[0] + "".join(lines[80:]), "more.csv.gz")
    found = example_gens.ours(folder)
    assert found.rows() == expected
    assert (found.report["files"], found.report["rows"]) == (2, 200)


def test_stray_quotes_are_characters(table):
    folder = table('id,size\n1,5" pipe\n2,7" pipe\n3,"x\ny"\n4,9"\n5,"a"b"\n')
    found = example_gens.ours_without_beam(folder / "table.csv")
    rows = sum(found.values(), example_gens.collections.Counter())
    sizes = {
        example_gens.tf.train.Example.FromString(r).features.feature["size"].bytes_list.value[0]
        for r in rows
    }
    assert sizes == {b'5" pipe', b'7" pipe', b"x\ny", b'9"', b'ab"'}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "table.csv: is empty; expected a header line and rows"),
        ("id,price\n", NO_ROWS),
        ("id,price", NO_ROWS),
        ("id,id\n1,2\n", "table.csv:1: columns 1, 2 are all called id; rename all but one"),
        (
            'id,n\n1,2\n2,"3\n4,5\n',
            "table.csv:3: a quoted value that begins in this row is never closed",
        ),
    ],
)
def test_files_without_rows(table, content, message):
    with pytest.raises(BadTable, match=message):
        example_gens.ours(table(content))


def test_missing_files_and_different_headers(table):
    folder = table(GOOD)
    with pytest.raises(BadTable, match=r"data.path: .*/\*.tsv: no file matches"):
        example_gens.ours(folder, pattern="*.tsv")
    table("price,id\n1,2\n", "z.csv")
    with pytest.raises(BadTable, match="z.csv:1: the header differs from that of .*table.csv"):
        example_gens.ours(folder)


def test_a_missing_or_fractional_key(table):
    folder = table("id,price\n1,2.5\n,3\n")
    with pytest.raises(BadTable, match="splits.key: id is empty in a row; fill it in"):
        example_gens.ours(folder, key="id")
    with pytest.raises(BadTable, match="splits.key: price does not hold text or whole numbers"):
        example_gens.ours(folder, key="price")


def test_the_seed_decides_every_byte(table):
    folder = table(GOOD)
    first = example_gens.ours(folder)
    assert example_gens.ours(folder).files == first.files
    assert example_gens.ours(folder, seed=1).files != first.files


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(table):
    folder = table(GOOD)
    first = example_gens.ours(folder)
    script = f"""
import pathlib, sys
sys.path[:0] = [".", "tests/helpers"]
import example_gens
print(example_gens.ours(pathlib.Path({str(folder)!r})).folder)
"""
    root = pathlib.Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    other = pathlib.Path(done.stdout.split()[-1])
    assert other != first.folder
    assert {
        str(path.relative_to(other)): path.read_bytes() for path in other.glob("Split-*/*")
    } == first.files


def test_rows_are_shuffled(table):
    found = example_gens.ours(table(GOOD))
    numbers = [
        example_gens.tf.train.Example.FromString(r).features.feature["id"].int64_list.value[0]
        for r in found.records("train")
    ]
    rising = sum(after > before for before, after in zip(numbers, numbers[1:]))
    assert 0.3 < rising / len(numbers) < 0.7
    half = numbers[: len(numbers) // 2]
    assert min(half) < 40 and max(half) > 160, "each half has rows from all over the table"


def test_spans_versions_and_the_cache(tmp_path):
    """TFX's driver applies: the latest version of the latest span is read, and only once."""
    for span, version, rows in ((1, 1, 40), (2, 1, 50), (2, 2, 60)):
        folder = tmp_path / "data" / f"day-{span}" / f"v{version}"
        folder.mkdir(parents=True)
        (folder / "table.csv").write_text("".join(GOOD.splitlines(keepends=True)[: rows + 1]))

    def run():
        split_config = example_gen_pb2.SplitConfig(
            splits=[example_gen_pb2.SplitConfig.Split(name="train", hash_buckets=1)]
        )
        example_gen = TableExampleGen(
            input_base=str(tmp_path / "data"),
            input_config=example_gen_pb2.Input(
                splits=[
                    example_gen_pb2.Input.Split(name="all", pattern="day-{SPAN}/v{VERSION}/*.csv")
                ]
            ),
            output_config=example_gen_pb2.Output(split_config=split_config),
            options=Options(format="csv"),
        )
        config = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="spans",
                pipeline_root=str(tmp_path / "root"),
                components=[example_gen],
                metadata_connection_config=config,
                beam_pipeline_args=beam_steps.ARGUMENTS,
                enable_cache=True,
            )
        )
        with metadata.Metadata(config) as store:
            executions = store.store.get_executions_by_type(
                "components.table_example_gen.component.TableExampleGen"
            )
            outputs = execution_lib.get_output_artifacts(store, executions[-1].id)
            return executions, outputs["examples"][0]

    _, artifact = run()
    found = [artifact.get_int_custom_property(name) for name in ("span", "version")]
    assert found == [2, 2]
    assert artifact.get_string_custom_property("input_fingerprint")
    assert count(example_gens.Examples(artifact)) == 60
    executions, again = run()
    assert again.uri == artifact.uri
    assert len(executions) == 2
