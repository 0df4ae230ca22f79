"""Tests of the messages when the data or the model does not match the configuration."""

import gzip
import pathlib
import textwrap
from typing import Any

import pytest

from components.tables import bad_rows
from components.tables.table import NO_ROWS
from models.errors import UserError
from models.zoo import registry
from pipeline.config import config_file
from pipeline.preflight import data_check, model_check, split_counts

ROOT = pathlib.Path(__file__).parents[4]

GOOD = "id,price,rooms\n1,10,3\n2,20.5,4\n"
SCHEMA = """\
feature { name: "id" type: INT presence { min_fraction: 1.0 } }
feature { name: "price" type: FLOAT presence { min_fraction: 1.0 } }
feature { name: "rooms" type: INT }
"""


@pytest.fixture
def problem(tmp_path):
    """Returns a function that makes a configuration for houses.csv, with additional YAML."""
    (tmp_path / "houses.csv").write_text(GOOD)

    def make(extra="", data="houses.csv", task="regression", label="price"):
        metric = "rmse: {at_most: 5}" if task == "regression" else "skill: {at_least: 0.1}"
        path = tmp_path / "pipeline.yaml"
        path.write_text(
            f"task: {task}\nlabel: {label}\ndata: {data}\ngates: {{{metric}}}\n{extra}\n"
        )
        return config_file.load(path)

    fixture: Any = make
    fixture.folder = tmp_path
    fixture.csv = tmp_path / "houses.csv"
    return fixture


@pytest.fixture(autouse=True)
def splits_are_not_counted(monkeypatch):
    """Disables split counts: these tables are too short to be split. See `test_table_rules`."""
    monkeypatch.setattr(split_counts, "count", lambda *arguments: None)


def mistakes(config):
    with pytest.raises(UserError) as caught:
        data_check.check_data(config)
    return str(caught.value).split("\n")


def test_good_data_pass(problem):
    data_check.check_data(
        problem("features: {rooms: categorical}\nslices: [rooms]\nsplits: {key: id}")
    )


@pytest.mark.parametrize("name", ["king_county", "ames", "series"])
def test_the_shipped_data_pass_without_notes(name):
    report = data_check.check_data(config_file.load(ROOT / "data" / name / "pipeline.yaml"))
    assert report is not None
    assert report.notes == ()


def test_missing_file_and_empty_folder(problem):
    path = problem.folder / "no.csv"
    assert mistakes(problem(data="no.csv")) == [f"data.path: {path}: no such file"]
    folder = problem.folder / "tables"
    folder.mkdir()
    assert mistakes(problem(data="tables")) == [f"data.path: {folder}: the folder is empty"]
    (folder / "1.csv").write_text(GOOD)
    data_check.check_data(problem(data="tables"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a header line and rows"),
        ("id,price\n", NO_ROWS),
        ("id,price", NO_ROWS),
        (b"price,\x00\n1,2\n", "is not text: byte 7 is NUL; expected a CSV file"),
    ],
)
def test_files_that_are_not_tables(problem, content, message):
    problem.csv.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert mistakes(problem()) == [f"data.path: {problem.csv}: {message}"]


def test_a_repeated_column(problem):
    problem.csv.write_text("id,price,id,price\n1,2,3,4\n")
    (line,) = mistakes(problem())
    assert line == f"{problem.csv}:1: columns 1, 3 are all called id; rename all but one"


@pytest.mark.parametrize(
    ("content", "location"),
    [
        ("préis,price\n1,2\n2,3\n", "1: the header is"),
        ("price,x\n" + "1,1\n" * 9000 + "é,1\n", "9002: price: found 'é'"),
        ("price,x\n" + "1,2\n" * 500 + "2,é\n", "502: x: found 'é'"),
    ],
)
def test_text_in_another_encoding(problem, content, location):
    problem.csv.write_bytes(content.encode("latin-1"))
    assert mistakes(problem()) == [
        f"{problem.csv}:{location}{'' if 'header' in location else ', which is'} not utf-8; "
        f"set data.encoding: latin-1{'' if 'header' in location else f'; {bad_rows.ADVICE}'}"
    ]
    data = "{path: houses.csv, encoding: latin-1}"
    if location.startswith("9002"):
        assert "found 'é', expected a number" in mistakes(problem(data=data))[0]
    else:
        data_check.check_data(problem(data=data))


def test_quarantined_rows_do_not_stop_the_run(problem):
    problem.csv.write_bytes(GOOD.encode() + b"1,2,3,4\n1,2\n3,4,\xe9\n3,4,\0\n5,6,7\n")
    data = "{path: houses.csv, on_bad_rows: quarantine}"
    data_check.check_data(problem(data=data))
    problem.csv.write_text(f"{GOOD}3,,1\n")
    empty = f"{problem.csv}:4: price: the label is empty; remove the row or fill it in"
    assert mistakes(problem(data=data)) == [empty]

    # By the schema a word is not a price, so the row is quarantined.
    (problem.folder / "schema.pbtxt").write_text(SCHEMA)
    data = "{path: houses.csv, on_bad_rows: quarantine, schema: schema.pbtxt}"
    assert mistakes(problem(data=data)) == [empty]
    problem.csv.write_text(f"{GOOD}3,cheap,1\n")
    data_check.check_data(problem(data=data))


def test_gzipped_files_and_patterns(problem):
    (problem.folder / "sales-1.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    data_check.check_data(problem(data="sales-1.csv.gz"))
    (problem.folder / "sales-2.csv").write_text(GOOD + "1,,2\n")
    (line,) = mistakes(problem(data="{path: sales-*, format: csv}"))
    assert line.startswith(f"{problem.folder / 'sales-2.csv'}:4: price: the label is empty")
    (line,) = mistakes(problem(data="rents-?.csv"))
    assert line == f"data.path: {problem.folder / 'rents-?.csv'}: no file matches"


def test_the_latest_version_of_the_latest_span_is_checked(problem):
    """Numbers are compared, not text: day 10 is later than day 9."""
    for part, content in (
        ("day-10/v1/a.csv", "nonsense"),
        ("day-10/v2/a.csv", GOOD),
        ("day-10/v2/b.csv", GOOD),
        ("day-9/v3/a.csv", "nonsense"),
    ):
        file = problem.folder / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    config = problem(data="'day-{SPAN}/v{VERSION}/*.csv'")
    data_check.check_data(config)
    assert config.data.folder == problem.folder
    assert config.data.pattern == "day-{SPAN}/v{VERSION}/*.csv"
    latest = problem.folder / "day-10" / "v2"
    assert data_check.data_files(config) == [latest / "a.csv", latest / "b.csv"]


def test_a_date_is_a_span(problem):
    for day in ("2023-12-31", "2024-01-31", "2024-02-01"):
        (problem.folder / day).mkdir()
        (problem.folder / day / "a.csv").write_text(GOOD)
    (file,) = data_check.data_files(problem(data="'{YYYY}-{MM}-{DD}/*.csv'"))
    assert file == problem.folder / "2024-02-01" / "a.csv"


def test_not_parquet(problem):
    (problem.folder / "p.parquet").write_text("no parquet")
    (line,) = mistakes(problem(data="p.parquet"))
    assert line == f"data.path: {problem.folder / 'p.parquet'}: is not a Parquet file"


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfprice,rooms\n1,2\n2,2\n", b'"price","rooms"\n1,2\n2,2\n']
)
def test_a_byte_order_mark_and_quotes_in_the_header(problem, content):
    problem.csv.write_bytes(content)
    data_check.check_data(problem())


def test_files_of_a_folder_with_different_headers(problem):
    folder = problem.folder / "tables"
    folder.mkdir()
    (folder / "1.csv").write_text("price,rooms\n1,2\n")
    (folder / "2.csv").write_text("rooms,price\n1,2\n")
    (line,) = mistakes(problem(data="tables"))
    header = f"{folder / '2.csv'}:1: the header"
    assert line.startswith(f"{header} differs from that of {folder / '1.csv'}; give")


def test_a_non_numeric_label_is_found_in_any_row(problem):
    problem.csv.write_text("price,rooms\n" + "1,2\n" * 5000 + "nan,2\n")
    (line,) = mistakes(problem())
    assert line.startswith(f"{problem.csv}:5002: price: found 'nan', expected a number")


def test_bands_need_numbers(problem):
    problem.csv.write_text("price,rooms\n1,2\n1,many\n")
    (line,) = mistakes(problem("slices: [{column: rooms, bands: [3]}]"))
    assert line.startswith(f"{problem.csv}:3: rooms: found 'many', expected a number; only numbers")


@pytest.mark.parametrize(
    ("extra", "label", "line"),
    [
        (
            "",
            "prize",
            "label: no column prize in {csv}; did you mean price? (known: id, price, rooms)",
        ),
        (
            "features: {room: date}",
            "price",
            "features: no column room in {csv}; did you mean rooms?",
        ),
        ("slices: [zip]", "price", "slices: no column zip in {csv} (known: id, price, rooms)"),
        (
            "splits: {key: ids}",
            "price",
            "splits.key: no column ids in {csv}; did you mean id? (known",
        ),
    ],
)
def test_missing_columns(problem, extra, label, line):
    (found,) = mistakes(problem(extra, label=label))
    assert found.startswith(line.format(csv=problem.csv))


def test_every_missing_column_is_reported(problem):
    config = problem("features: {a: date, b: date}\nslices: [c]\nsplits: {key: d}", label="e")
    assert [line.split(" in ")[0] for line in mistakes(config)] == [
        "label: no column e",
        "splits.key: no column d",
        "features: no column a",
        "features: no column b",
        "slices: no column c",
    ]


@pytest.mark.parametrize("quoted", ["", '"line one\nline two"'])
def test_a_non_numeric_label_names_its_line(problem, quoted):
    problem.csv.write_text(f"text,price\n{quoted},1\nx,cheap\n")
    number = 3 + quoted.count("\n")
    assert mistakes(problem()) == [
        f"{problem.csv}:{number}: price: found 'cheap', expected a number; choose another label, "
        "or task: multiclass"
    ]
    data_check.check_data(problem(task="multiclass"))


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_an_empty_label_names_its_line(problem, task):
    problem.csv.write_text("id,price\n1,1\n2,\n")
    assert mistakes(problem(task=task)) == [
        f"{problem.csv}:3: price: the label is empty; remove the row or fill it in"
    ]


@pytest.mark.parametrize(("row", "count"), [("1,2", 2), ("1,2,3,4", 4), ("1", 1)])
def test_a_ragged_row_names_its_line(problem, row, count):
    problem.csv.write_text(f"{GOOD}\n{row}\n")
    fields = f"{count} field{'s' * (count > 1)}, expected 3 as in the header"
    assert mistakes(problem()) == [f"{problem.csv}:5: found {fields}: {row!r}; {bad_rows.ADVICE}"]


class TestSchema:
    @pytest.fixture
    def with_schema(self, problem):
        def make(text):
            path = problem.folder / "schema.pbtxt"
            if text is not None:
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return problem(data="{path: houses.csv, schema: schema.pbtxt}")

        fixture: Any = make
        fixture.path = problem.folder / "schema.pbtxt"
        return fixture

    def test_agrees(self, with_schema):
        data_check.check_data(with_schema(SCHEMA))

    def test_missing(self, with_schema):
        assert mistakes(with_schema(None)) == [f"data.schema: no such file: {with_schema.path}"]

    def test_not_a_schema(self, with_schema):
        (line,) = mistakes(with_schema('feature { name: "id" }\nfeatur { }\n'))
        assert line.startswith(f"data.schema: {with_schema.path}:2: ")
        assert "featur" in line

    def test_not_text(self, with_schema):
        (line,) = mistakes(with_schema(b"\xff\xfe"))
        assert line == f"data.schema: {with_schema.path}: is not UTF-8 text; convert it first"

    def test_is_a_folder(self, with_schema):
        with_schema.path.mkdir()
        (line,) = mistakes(with_schema(None))
        assert line == f"data.schema: {with_schema.path}: cannot be read: Is a directory"

    def test_a_column_that_the_schema_lacks(self, with_schema, problem):
        (line,) = mistakes(with_schema(SCHEMA.replace('"rooms"', '"room"')))
        assert line == (
            f"data.schema: {with_schema.path}: no feature for the column rooms of {problem.csv}; "
            "did you mean room? (known: id, price, room)"
        )

    def test_a_required_feature_that_the_table_lacks(self, with_schema, problem):
        extra = 'feature { name: "pric" type: INT presence { min_fraction: 1.0 } }\n'
        (line,) = mistakes(with_schema(SCHEMA + extra))
        assert line == (
            f"data.schema: {problem.csv}: has no column pric; did you mean price? "
            "(known: id, price, rooms)"
        )

    def test_an_optional_feature_may_be_absent(self, with_schema):
        data_check.check_data(with_schema(SCHEMA + 'feature { name: "attic" type: INT }\n'))


def test_parquet_columns(problem):
    import pyarrow as pa
    import pyarrow.parquet

    pa.parquet.write_table(
        pa.table({"price": [1.0, 2.0], "rooms": [2, 3]}), problem.folder / "h.parquet"
    )
    data_check.check_data(problem(data="h.parquet"))
    (line,) = mistakes(problem(data="h.parquet", label="prce"))
    assert line.endswith("h.parquet; did you mean price? (known: price, rooms)")


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("h.tfrecord", ""),
        ("h.tfrecord.gz", "GZIP"),
        ("gzipped.tfrecord", "GZIP"),
        ("plain.tfrecord.gz", ""),
    ],
)
def test_tfrecord_columns(problem, name, compression):
    import tensorflow as tf

    example = tf.train.Example()
    example.features.feature["price"].float_list.value.append(1.0)
    path = problem.folder / name
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        writer.write(example.SerializeToString())
    data_check.check_data(problem(data=name))
    (line,) = mistakes(problem(data=name, label="prce"))
    assert line == f"label: no column prce in {path}; did you mean price? (known: price)"

    path.write_bytes(b"not a record of anything")
    (line,) = mistakes(problem(data=name))
    assert line.startswith(f"data.path: {path}: record 1 is damaged or truncated; copy or create")


@pytest.mark.parametrize("name", registry.ON_ONE_DEVICE)
def test_a_single_device_model_cannot_be_mirrored(problem, name):
    settings = f"model: {{name: {name}}}\ntrain: {{cluster: {{mirrored: 2}}}}"
    with pytest.raises(UserError) as error:
        model_check.check_model(problem(settings))
    assert str(error.value) == (
        f"train.cluster.mirrored: found with {name}, which is trained on one device only; choose "
        "another model, such as mlp, or remove mirrored"
    )


class TestModel:
    """Tests of a `model_fn` beside the configuration, importable as in `local_runner`."""

    @pytest.fixture
    def check(self, problem, monkeypatch):
        monkeypatch.syspath_prepend(str(problem.folder))

        def call(name, params="{}"):
            model_check.check_model(problem(f"model: {{name: {name}, params: {params}}}"))

        return call

    @pytest.fixture(autouse=True)
    def own_model(self, problem):
        source = """\
            import dataclasses

            @dataclasses.dataclass(frozen=True)
            class Params:
                hidden: tuple[int, ...] = (64,)
                rate: float = 0.1
                deep: bool = True

            def model_fn(features, labels, mode, params, config): ...

            def other(features, labels): ...

            constant = 3
            """
        (problem.folder / "own_check_model.py").write_text(textwrap.dedent(source))

    @pytest.fixture
    def mistake(self, check):
        def call(*arguments):
            with pytest.raises(UserError) as caught:
                check(*arguments)
            assert "\n" not in str(caught.value)
            return str(caught.value)

        return call

    def test_a_users_model(self, check):
        check("own_check_model.model_fn", "{hidden: [8, 4], rate: 1, deep: false}")

    def test_unknown_name(self, mistake):
        line = mistake("wide_dep")
        assert line.startswith(
            "model.name: no registered model is called wide_dep; did you mean wide"
        )

    def test_missing_module(self, mistake):
        assert mistake("no_such_module.model_fn").startswith(
            "model.name: no_such_module.model_fn: cannot import no_such_module; put the file beside"
        )

    @pytest.mark.parametrize("name", ["modl_fn", "constant"])
    def test_missing_function(self, mistake, name):
        line = mistake(f"own_check_model.{name}")
        assert line.endswith(f": module own_check_model has no {name}()")

    def test_wrong_signature(self, mistake):
        line = mistake("own_check_model.other")
        assert ": expected other(features, labels, mode, params, config)" in line
        assert line.endswith(", found other(features, labels)")

    @pytest.mark.parametrize(
        ("params", "start"),
        [
            ("{hiden: [1]}", "model.params.hiden: unknown parameter; did you mean hidden? "),
            ("{hidden: 3}", "model.params.hidden: expected a list, found 3"),
            ("{hidden: [1, a]}", "model.params.hidden[1]: expected int, found 'a'"),
            ("{rate: x}", "model.params.rate: expected float, found 'x'"),
            ("{rate: true}", "model.params.rate: expected float, found True"),
            ("{deep: 1}", "model.params.deep: expected bool, found 1"),
        ],
    )
    def test_wrong_parameters(self, mistake, params, start):
        assert mistake("own_check_model.model_fn", params).startswith(start)


MANY = "id,price,sea,sure\n1,10,yes,0.5\n2,20,no,0\n"


class TestRoles:
    """Tests of further labels, the weight and the split key."""

    ALL = "more_labels: {sea: binary}\nweight: sure\nsplits: {key: id}\nderived: {half: 'id / 2'}"

    def test_good_rows_pass(self, problem):
        problem.csv.write_text(MANY)
        data_check.check_data(problem(self.ALL))

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("3,1,,1", "sea: the label is empty; remove the row or fill it in"),
            ("3,1,yes,", "sure: the weight is empty; remove the row or fill it in"),
            ("3,1,yes,-1", "sure: found '-1', expected a number of at least 0 as the weight"),
            ("3,1,yes,much", "sure: found 'much', expected a number of at least 0 as the weight"),
            ("3,1,yes,inf", "sure: found 'inf', expected a number of at least 0 as the weight"),
            (",1,yes,1", "id: the key is empty; remove the row or fill it in"),
        ],
    )
    def test_a_wrong_row_names_its_line(self, problem, row, message):
        problem.csv.write_text(f"{MANY}{row}\n")
        assert mistakes(problem(self.ALL)) == [f"{problem.csv}:4: {message}"]

    def test_a_non_numeric_additional_label(self, problem):
        problem.csv.write_text(MANY)
        (line,) = mistakes(problem("more_labels: {sea: regression}"))
        assert line == (
            f"{problem.csv}:2: sea: found 'yes', expected a number; choose another label, or task: "
            "multiclass"
        )

    @pytest.mark.parametrize(
        ("extra", "line"),
        [
            ("more_labels: {see: binary}", "more_labels: no column see in {csv}; did you mean sea"),
            ("weight: sur", "weight: no column sur in {csv}; did you mean sure? (known: id, price"),
            ("derived: {d: ids + id}", "derived.d: no column ids in {csv}; did you mean id? (know"),
            ("derived: {id: sure + 1}", "derived.id: is a column of {csv} too; choose another na"),
        ],
    )
    def test_missing_columns(self, problem, extra, line):
        problem.csv.write_text(MANY)
        (found,) = mistakes(problem(extra))
        assert found.startswith(line.format(csv=problem.csv))

    def test_a_derived_feature_may_read_another(self, problem):
        problem.csv.write_text(MANY)
        data_check.check_data(problem("derived: {a: b + 1, b: id}"))

    def test_a_fractional_key(self, problem):
        problem.csv.write_text("id,price,rooms\n1,2,1\n2.5,3,2\n4,3,1\n")
        assert mistakes(problem("splits: {key: id}")) == [
            "splits.key: id holds fractional numbers, such as 2.5; expected text or whole numbers"
        ]
        problem.csv.write_text("id,price,rooms\n1,2,1\n2.5,3,2\nx,3,1\n")
        data_check.check_data(problem("splits: {key: id}"))

    @pytest.mark.parametrize(
        ("column", "values", "message"),
        [
            ("price", [1.0, None, 3.0], "row 2: price: the label is missing or not finite; remov"),
            ("price", [1.0, 2.0, float("nan")], "row 3: price: the label is missing or not finit"),
            ("price", ["1", "2", "3"], "price: found text, expected numbers as the label of a"),
            ("sea", ["a", "b", None], "row 3: sea: the label is missing or not finite; remove"),
            ("sure", [1, 0, -2], "row 3: sure: found -2, expected a number of at least 0 as the"),
            ("sure", [1.0, None, 2.0], "row 2: sure: the weight is missing or not finite; remove"),
            ("sure", ["a", "b", "c"], "sure: found text, expected numbers as the weight"),
            ("id", [1, None, 2], "row 2: id: the key is missing or not finite; remove the row"),
            (
                "id",
                [1.0, 2.0, 3.0],
                "splits.key: id holds fractional numbers, such as 1.0; e",
            ),
            ("id", [1, 2, 3], None),
            ("sure", [True, False, True], None),
        ],
    )
    def test_rows_of_parquet(self, problem, column, values, message):
        import pyarrow as pa
        import pyarrow.parquet

        columns = {"id": ["a", "b", "c"], "price": [1, 2, 3], "sea": ["x", "y", "x"]}
        columns["rooms"] = [1, 2, 3]
        columns |= {"sure": [0.5, 1.0, 0.0], column: values}
        path = problem.folder / "h.parquet"
        pa.parquet.write_table(pa.table(columns), path)
        config = problem(self.ALL.replace("derived: {half: 'id / 2'}", ""), data="h.parquet")
        if message is None:
            data_check.check_data(config)
        else:
            (line,) = mistakes(config)
            assert line.removeprefix(f"{path}: ").startswith(message)
