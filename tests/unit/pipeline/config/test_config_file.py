"""Tests of the configuration: the meaning of valid files, and messages for every mistake."""

import copy
import dataclasses
import pathlib
import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from models.errors import UserError
from pipeline.config import config_file

ROOT = pathlib.Path(__file__).parents[4]

BASE = """\
task: regression
label: price
data: houses.csv
gates: {rmse: {at_most: 5}}
"""
BASE_LINES = BASE.count("\n")


@pytest.fixture
def load(tmp_path):
    folder = tmp_path / "my houses"
    folder.mkdir()
    path = folder / "pipeline.yaml"

    def call(text, *overrides):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config_file.load(path, overrides)

    fixture: Any = call
    fixture.path = path
    return fixture


@pytest.fixture
def mistakes(load):
    """Returns a function that gives the lines of a message, without the leading file name."""

    def call(text, *overrides):
        with pytest.raises(UserError) as caught:
            load(text, *overrides)
        lines = str(caught.value).split("\n")
        start = str(load.path)
        assert all(line.startswith((start, "--set ")) for line in lines), lines
        return [line.removeprefix(start) for line in lines]

    return call


def replaced(**values):
    """Returns the base with other YAML text for some keys; None removes a key."""
    keys = {
        "task": "regression",
        "label": "price",
        "data": "houses.csv",
        "gates": "{rmse: {at_most: 5}}",
    }
    return "".join(f"{k}: {v}\n" for k, v in {**keys, **values}.items() if v is not None)


def test_four_lines_are_enough(load):
    config = load(BASE)
    assert config.name == "my_houses"
    assert config.folder == load.path.parent
    assert config.log_label is None
    assert config.data.path == load.path.parent / "houses.csv"
    assert config.data.format == "csv"
    assert config.data.schema_file is None
    assert config.splits.dict() == {"train": 8, "eval": 1, "test": 1, "key": None}
    assert config.features == {}
    assert config.model.dict() == {"name": "tabm", "params": {}}
    assert config.train.dict() == {
        "max_steps": None,
        "epochs": None,
        "batch_size": None,
        "evaluate_every": None,
        "keep_checkpoints": 5,
        "early_stopping": None,
        "cache_mb": 256,
        "cluster": None,
        "seed": 42,
    }
    assert config.gates["rmse"].absolute == 5
    assert config.gates["rmse"].may_worsen_by is None
    assert config.slices == ()
    assert config.beam.args == ()
    assert config.push.directory is None


def test_the_shipped_problem_loads():
    config = config_file.load(ROOT / "data/king_county/pipeline.yaml")
    assert config.name == "king_county"
    assert config.data.path.is_file()
    assert config.data.schema_file and config.data.schema_file.is_file()
    assert config.splits.key == "id"
    assert config.features["zipcode"].kind == "categorical"
    assert list(map(float, config.slices[0].bands or ())) == [3e5, 6e5, 1e6]
    assert [part.gate for part in config.slices] == [True, False, False]


def test_roles_of_columns(load):
    config = load(
        BASE
        + """
features:
  quality: {kind: ordinal, order: ['No', Po, Fa]}
  stars: {kind: ordinal, order: [3, 1, 2]}
  window: sequence
derived: {age: sold - built, per room: "'Lot Area' / rooms"}
more_labels: {sea: binary, grade: {task: multiclass, class_weights: {'1': 2}}}
weight: sure
interval: 9e-1
"""
    )
    assert config.features["quality"].order == ("No", "Po", "Fa")
    assert config.features["stars"].order == (3, 1, 2)
    assert config.features["window"].kind == "sequence"
    assert config.derived == {"age": "sold - built", "per room": "'Lot Area' / rooms"}
    assert config.more_labels["sea"].dict() == {
        "task": "binary",
        "log_label": None,
        "class_weights": None,
    }
    assert config.more_labels["grade"].class_weights == {"1": 2.0}
    assert (config.weight, config.interval) == ("sure", 0.9)


def test_class_weights(load):
    text = replaced(task="binary", gates="{auc: {at_least: 0.6}}")
    assert load(f"{text}class_weights: balanced\n").class_weights == "balanced"
    assert load(f"{text}class_weights: {{'1': 3}}\n").class_weights == {"1": 3.0}


def test_max_steps_replaces_the_default_length(load):
    train = load(BASE + "train: {max_steps: 7}\n").train
    assert (train.max_steps, train.epochs) == (7, None)


@pytest.mark.parametrize(
    ("path", "format_"),
    [
        ("a.csv", "csv"),
        ("folder", "csv"),
        ("a.parquet", "parquet"),
        ("a.tfrecord", "tfrecord"),
        ("a.tfrecord.gz", "tfrecord"),
    ],
)
def test_format_follows_the_ending(load, path, format_):
    assert load(replaced(data=path)).data.format == format_


def test_a_given_format_wins_over_the_ending(load):
    assert load(replaced(data="{path: a.csv, format: parquet}")).data.format == "parquet"


def test_relative_paths_are_from_the_file(load, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    text = replaced(data="{path: ../t.csv, schema: s/x.pbtxt}") + "push: {directory: out}\n"
    config = load(text)
    assert config.data.path == tmp_path / "t.csv"
    assert config.data.schema_file == load.path.parent / "s" / "x.pbtxt"
    assert config.push.directory == load.path.parent / "out"
    assert load(replaced(data="/elsewhere/t.csv")).data.path == pathlib.Path("/elsewhere/t.csv")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("King County", "king_county"),
        ("2014", "problem_2014"),
        ("Größe", "gr__e"),
        ("é", "problem_"),
    ],
)
def test_default_name_is_made_of_the_folder(tmp_path, folder, name):
    path = tmp_path / folder / "pipeline.yaml"
    path.parent.mkdir()
    path.write_text(BASE)
    assert config_file.load(path).name == name


def test_nothing_changes_after_loading(load):
    config = load(BASE + "features: {zip: categorical}\nslices: [zip]\n")
    for section, name in [
        (config, "label"),
        (config.train, "max_steps"),
        (config.data, "path"),
        (config.features["zip"], "kind"),
        (config.slices[0], "gate"),
    ]:
        with pytest.raises(TypeError, match="immutable"):
            setattr(section, name, getattr(section, name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.gates["rmse"].absolute = 6


def test_numbers_may_be_written_1e6(load):
    # YAML 1.1 reads 1e6 as text.
    assert load(replaced(gates="{rmse: {at_most: 1e6}}")).gates["rmse"].absolute == 1e6


def test_merge_keys_work(load):
    text = (
        BASE + "features:\n  a: &c {kind: categorical, min_count: 3}\n  b: {<<: *c, min_count: 4}\n"
    )
    features = load(text).features
    assert (features["b"].kind, features["b"].min_count) == ("categorical", 4)
    assert features["a"].min_count == 3


# YAML that replaces keys of BASE or is added to it, and the start of its message (`...`: any text).
MISTAKES = """
lable: x  ->  lable: unknown key; did you mean label? (known: name, task, label,
train: {max_step: 3}  ->  train.max_step: unknown key; did you mean max_steps? (known: max
train: {cluster: {worker: 2}}  ->  train.cluster.worker: unknown key; did you mean workers?
train: {cluster: {workers: 0}}  ->  train.cluster.workers: expected a whole number above
train: {cluster: {evaluator: 1}}  ->  train.cluster.evaluator:
train: {cluster: {mirrored: 0}}  ->  train.cluster.mirrored: expected a whole number above
train: {cluster: {mirrored: 1}}  ->  train.cluster.mirrored: found 1, expected 2 or more
train: {cluster: {mirrored: 2, workers: 2, max_restarts: 1}}
    ->  train.cluster.mirrored: found beside workers, max_restarts, for several processes; expected
train: {batch_size: 100, cluster: {mirrored: 3}}
    ->  train.batch_size: found 100, expected a multiple of train.cluster.mirrored, 3: each
train: {early_stopping: {patience: 9}, cluster: {mirrored: 3}}
    ->  train.early_stopping: not supported with cluster.mirrored, which trains to the end
train: {cluster: 3}  ->  train.cluster:
splits: {trian: 1}  ->  splits.trian: unknown key; did you mean train? (known: train, eval
model: {parms: {}}  ->  model.parms: unknown key; did you mean params? (known: name, params)
beam: {arg: []}  ->  beam.arg: unknown key; did you mean args? (known: engine,
push: {directry: x}  ->  push.directry: unknown key; did you mean directory? (known: directory)
slices: [{column: a, gat: true}]  ->  slices.0.gat: unknown key; did you mean gate? (known:
train: {early_stopping: {patience: 3, min: 1}}
    ->  train.early_stopping.min: unknown key (known: patience)
features: {zip: {kind: date, min_cout: 1}}
    ->  features.zip.min_cout: unknown key; did you mean min_count? (known: kind,
features: {zip: categoricl}  ->  features.zip.kind: unknown value 'categoricl'; did you mean
folder: x  ->  folder: unknown key (known: name, task,
__root__: x  ->  __root__: unknown key (known: name, task,
train: 3  ->  train: expected keys and values, found 3
train: []  ->  train: expected keys and values, found []
features: [a]  ->  features: expected keys and values, found ['a']
features: []  ->  features: expected keys and values, found []
features: {a: 3}  ->  features.a: expected keys and values, found 3
model: {params: [1]}  ->  model.params: expected keys and values, found [1]
slices: zip  ->  slices: expected a list, found 'zip'
slices: {a: b}  ->  slices: expected a list, found {'a': 'b'}
slices: [3]  ->  slices.0: expected keys and values, found 3
slices: [a, {column: b, bands: 3}]  ->  slices.1.bands: expected a list, found 3
slices: [{column: b, bands: [x]}]  ->  slices.0.bands.0: expected a number, found 'x'
slices: [{column: b, gate: 'no'}]  ->  slices.0.gate: expected true or false, found 'no'
log_label: 1  ->  log_label: expected true or false, found 1
beam: {args: [--a, 3]}  ->  beam.args.1: expected text, found 3; put it in quotes
beam: {args: [--a], workers: 2}
    ->  beam.workers: only for runs on this machine, but beam.args name an engine; remove one of
beam: {engine: spark, workers: 2, master: 'a:1', worker_pool: 'a:1'}
    ->  beam.workers: only for runs on this machine, but beam.engine names another one; remove one
beam: {engine: dataflow, args: ['--region=a', '--temp_location=gs://a']}
    ->  beam.args: dataflow needs --project, --sdk_container_image too; add them
beam: {engine: flik}  ->  beam.engine: unknown value 'flik'; did you mean flink? (known: prism,
beam: {engine: prism}  ->  beam.master: missing; add the address of Prism's job endpoint
beam: {engine: prism, master: 'a:1', args: ['--job_endpoint=a:1']}
    ->  beam.args: --job_endpoint is set by beam.master; remove it and give beam.master
beam: {engine: prism, master: 'a:1', parallelism: 2}
    ->  beam.parallelism: prism has no such option; remove it
beam: {engine: flink, master: 'a:1', parallelism: 0}
    ->  beam.parallelism: expected a whole number above zero, found 0
beam: {engine: flink, master: 'http://a:1'}
    ->  beam.master: expected a host and a port, such as localhost:8081, found 'http://a:1'
beam: {engine: flink, master: 'a:99999'}  ->  beam.master: expected a host and a port
beam: {engine: flink, master: 8081}  ->  beam.master: expected a host and a port
beam: {engine: flink, worker_pool: 'a:1'}
    ->  beam.master: missing; add the address of Flink's job manager, such as host:8081
beam: {engine: flink, master: 'a:1'}
    ->  beam.worker_pool: missing; add where each of the engine's machines finds its worker pool
beam: {engine: flink, master: 'a:1', worker_pool: 'a:1', args: [--runner=X]}
    ->  beam.args: --runner beside beam.engine, which sets it; remove one of the two
beam: {engine: flink, master: 'a:1', worker_pool: 'a:1', args: [--spark_version=3]}
    ->  beam.args: --spark_version is an option of spark, but beam.engine is flink; remove it
beam: {engine: flink, master: 'a:1', worker_pool: 'a:1', args: [--parallelism=2]}
    ->  beam.args: --parallelism is set by beam.parallelism; remove it and give beam.parallelism
beam: {engine: spark, worker_pool: 'a:1', args: ['--job_endpoint=a:1', --environment_type=DOCKER]}
    ->  beam.args: --environment_type is set by beam.worker_pool; remove it and give beam.worker
beam: {parallelism: 2}
    ->  beam.parallelism: only beside beam.engine; add it (prism, flink, spark, dataflow) or remove
splits: {key: 5}  ->  splits.key: expected text, found 5; put it in quotes
model: {name: true}  ->  model.name: expected text, found true; put it in quotes
splits: {key: 2014-10-13}  ->  splits.key: expected text, found 2014-10-13; put it in quotes
push: {directory: 5}  ->  push.directory: expected a path, found 5; put it in quotes
push: {directory: ''}  ->  push.directory: expected a path, found ''
train: {max_steps: true}  ->  train.max_steps: expected a whole number above zero, found true
train: {max_steps: 1.5}  ->  train.max_steps: expected a whole number above zero, found 1.5
train: {max_steps: 0}  ->  train.max_steps: expected a whole number above zero, found 0
train: {max_steps: -3}  ->  train.max_steps: expected a whole number above zero, found -3
train: {max_steps: '5'}  ->  train.max_steps: expected a whole number above zero, found '5'
train: {max_steps: 1e6}  ->  train.max_steps: expected a whole number above zero, found '1e6'
train: {max_steps: [5]}  ->  train.max_steps: expected a whole number above zero, found [5]
train: {cache_mb: true}  ->  train.cache_mb: expected a whole number, zero or above, found true
train: {cache_mb: 1.5}  ->  train.cache_mb: expected a whole number, zero or above, found 1.5
train: {cache_mb: -1}  ->  train.cache_mb: expected a whole number, zero or above, found -1
train: {cache_mb: '5'}  ->  train.cache_mb: expected a whole number, zero or above, found '5'
train: {seed: -1}  ->  train.seed: expected a whole number, zero or above, found -1
name: King  ->  name: expected lower-case letters, digits and _, as king_county, found 'King'
train:  ->  train: is empty; give a value or remove the key
train: {seed: }  ->  train.seed: is empty; give a value or remove the key
model:  ->  model: is empty; give a value or remove the key
features: {a: }  ->  features.a: is empty; give a value or remove the key
slices: ['']  ->  slices.0.column: is empty; give a value or remove the key
features: {zip: {}}  ->  features.zip.kind: missing; add 'kind: ...' (numeric, ordinal,
slices: [{}]  ->  slices.0.column: missing; add 'column: ...' (the column
train: {early_stopping: {}}  ->  train.early_stopping.patience: missing; add 'patience: ...'
features: {q: ordinal}
    ->  features.q: missing its order; add the values in ascending order, such as 'order: [low,
features: {q: {kind: ordinal, order: a}}  ->  features.q.order: expected a list, found 'a'
features: {q: {kind: ordinal, order: [a]}}
    ->  features.q.order: expected two or more values in ascending order, such as [low, medium,
features: {q: {kind: ordinal, order: []}}  ->  features.q.order: expected two or more values in
features: {q: {kind: ordinal, order: [a, b, a]}}
    ->  features.q.order: expected each value once, but 'a' is repeated, found ['a', 'b', 'a']
features: {q: {kind: ordinal, order: [Some, No]}}
    ->  features.q.order.1: expected text or a whole number; put Yes, No ..., found false
features: {q: {kind: ordinal, order: [1, 2.5]}}
    ->  features.q.order.1: expected text or a whole number, found 2.5
features: {q: {kind: ordinal, order: [1, a]}}
    ->  features.q.order: expected only text or only whole numbers, found [1, 'a']
features: {q: {kind: date, order: [a, b]}}
    ->  features.q.order: only for ordinal columns, but the kind is date
derived: [a]  ->  derived: expected keys and values, found ['a']
derived: {d: 3}  ->  derived.d: expected text, found 3; put it in quotes
derived: {d: }  ->  derived.d: is empty; give a value or remove the key
derived: {d: 'a // b'}  ->  derived.d: found 'a // b', expected columns (in quotes if the
derived: {d: 'min(a)'}  ->  derived.d: found 'min(a)', expected two or more arguments to
derived: {d: '1 + 2'}  ->  derived.d: found '1 + 2', expected at least one column
interval: 1  ->  interval: expected a share of the labels between 0 and 1, such as 0.9, found 1
interval: 0  ->  interval: expected a share of the labels between 0 and 1, such as 0.9, found 0
interval: true  ->  interval: expected a number, found true
class_weights: balanced  ->  class_weights: only for classes, but the task is regression
class_weights: balance
    ->  class_weights: expected balanced, or a number for each class, such as {'yes': 5}, found 'bal
class_weights: {}  ->  class_weights: expected balanced, or a number for each class
class_weights: {a: 0}  ->  class_weights.a: expected a number above zero, found 0
class_weights: {a: x}  ->  class_weights.a: expected a number, found 'x'
more_labels: [a]  ->  more_labels: expected keys and values, found ['a']
more_labels: {a: 3}  ->  more_labels.a: expected keys and values, found 3
more_labels: {a: bin}  ->  more_labels.a.task: unknown value 'bin'; did you mean binary?
more_labels: {a: {}}  ->  more_labels.a.task: missing; add 'task: ...' (regression, binary
more_labels: {a: {task: binary, log_label: true}}
    ->  more_labels.a.log_label: only for regression, but the task is binary
more_labels: {a: {task: regression, class_weights: balanced}}
    ->  more_labels.a.class_weights: only for classes, but the task is regression
more_labels: {a: {task: binary, interval: 0.5}}  ->  more_labels.a.interval: unknown key
more_labels: {price: binary}  ->  more_labels.price: this is the label; remove it from here
weight: 3  ->  weight: expected text, found 3; put it in quotes
weight: price  ->  weight: price is a label; name another column
more_labels: {a: binary}
weight: a
    ->  weight: a is a label; name another column
more_labels: {a: binary}
features: {a: date}
    ->  features.a: this is a label; remove it from features
weight: a
features: {a: date}
    ->  features.a: this is the weight; remove it from features
train: {max_steps: 3, epochs: 3}  ->  train: expected max_steps or epochs, found both: remove
features: {price: numeric}  ->  features.price: this is the label; remove it from features
slices: [price]  ->  slices: price is the label; give bands, such as [250000, 500000]
slices: [{column: x, bands: [3, 2]}]
    ->  slices.0.bands: expected edges in ascending order, such as [250000, 500000], found [3, 2]
slices: [{column: x, bands: []}]  ->  slices.0.bands: expected edges in ascending order
slices: [{column: x, bands: [2, 2]}]  ->  slices.0.bands: expected edges in ascending order
task:  ->  task: is empty; give a value or remove the key
task: regresion  ->  task: unknown value 'regresion'; did you mean regression? (known
task: 5  ->  task: unknown value 5 (known: regression, binary, multiclass)
label:  ->  label: is empty; give a value or remove the key
label: ''  ->  label: is empty; give a value or remove the key
label: 5  ->  label: expected text, found 5; put it in quotes
label: [a]  ->  label: expected text, found ['a']
data:  ->  data: is empty; give a value or remove the key
data: ''  ->  data.path: expected a path, found ''
data: 5  ->  data: expected keys and values, found 5
data: []  ->  data: expected keys and values, found []
data: {}  ->  data.path: missing; add 'path: ...' (the table, such as houses.csv)
data: {path: 5}  ->  data.path: expected a path, found 5; put it in quotes
data: {path: }  ->  data.path: is empty; give a value or remove the key
data: a.dat  ->  data.format: missing; add 'format: ...' (csv, parquet or tfrecord; the
data: {path: a, format: cvs}  ->  data.format: unknown value 'cvs'; did you mean csv?
data: {path: a, schema: 5}  ->  data.schema: expected a path, found 5; put it in
data: {path: a, schema_file: x}
    ->  data.schema_file: unknown key; did you mean schema? (known: path, format, schema,
data: {path: a.csv, encoding: cp1252}
    ->  data.encoding: unknown value 'cp1252' (known: utf-8, latin-1)
data: {path: a.csv, on_bad_rows: quarantin}
    ->  data.on_bad_rows: unknown value 'quarantin'; did you mean quarantine? (known: re
data: {path: a.csv, max_bad_share: 1}
    ->  data.max_bad_share: expected a share of the rows from 0 to 1 (0.01 is 1 %), found 1
data: {path: a.parquet, on_bad_rows: quarantine}
    ->  data.on_bad_rows: only for csv, but the format is parquet; remove it
gates:  ->  gates: is empty; give a value or remove the key
gates: 5
    ->  gates: expected bounds, such as {rmse: {at_most: 140000}}, or never to bless ..., found 5
gates: none
    ->  gates: expected bounds, such as {rmse: {at_most: 140000}}, or never to ..., found 'none'
gates: {}  ->  gates: no absolute bound: without one the first model would be blessed
gates: {rmse: {}}  ->  gates: no absolute bound
gates: {rmse: {may_worsen_by: 0.1}}
    ->  gates: no absolute bound: ... however bad it is; add for example rmse: {at_most: <value>}
task: binary
gates: {auc: {may_worsen_by: 0.1}}
    ->  gates: no absolute bound: ... however bad it is; add for example auc: {at_least: <value>}
gates: {rmse: }  ->  gates.rmse: is empty; give a value or remove the key
gates: {rmse: 5}  ->  gates.rmse: expected keys and values, found 5
gates: {rmsee: {at_most: 1}}
    ->  gates.rmsee: unknown metric; did you mean rmse? (known: rmse, mae, rmsle, skill)
task: multiclass
gates: {auc: {at_least: 1}}
    ->  gates.auc: unknown metric (known: accuracy, log_loss, skill)
gates: {rmse: {at_least: 1}}
    ->  gates.rmse: found at_least, but a lower RMSE is better: write at_most
gates: {rmse: {at_most: -3}}
    ->  gates.rmse.at_most: found -3, expected 0 or more: no RMSE is below 0
task: binary
gates: {auc: {at_least: 90}}
    ->  gates.auc.at_least: found 90, expected 1 or less (0.9 is 90 %): no AUC is above 1
gates: {rmse: {at_most: 1, at_least: 2}}
    ->  gates.rmse: found at_least, but a lower RMSE is better: write at_most
gates: {skill: {at_most: 1}}
    ->  gates.skill: found at_most, but a higher skill is better: write at_least
gates: {rmse: {at_mst: 3}}  ->  gates.rmse.at_mst: unknown key; did you mean at_most?
gates: {rmse: {at_most: true}}  ->  gates.rmse.at_most: expected a number, found true
gates: {rmse: {at_most: x}}  ->  gates.rmse.at_most: expected a number, found 'x'
gates: {rmse: {at_most: [1]}}  ->  gates.rmse.at_most: expected a number, found [1]
gates: {rmse: {at_most: .nan}}  ->  gates.rmse.at_most: expected a finite number, found
gates: {rmse: {at_most: .inf}}  ->  gates.rmse.at_most: expected a finite number, found
gates: {rmse: {at_most: 3, may_worsen_by: 5}}
    ->  gates.rmse.may_worsen_by: expected a share of the baseline's value from 0 to 1 (0
task: binary
gates: {auc: {at_least: 1}}
log_label: true
    ->  log_label: only for regression, but the task is binary
"""


def cases(table):
    """Yields pairs of YAML, which may take several lines, and the start of its message."""
    lines: list[str] = []
    for line in table.strip().splitlines():
        code, arrow, start = line.partition("->")
        lines += [code.rstrip()] if code.strip() else []
        if arrow:
            yield "\n".join(lines), f": {start.strip()}"
            lines = []


SYNTAX = [
    ('push: {directory: "a\\0b"}', ": push.directory: expected a path, found 'a\\x00b'"),
    ("name: a\nname: b", f":{BASE_LINES + 2}: not valid YAML: duplicate key 'name'"),
    ("train: {seed: 1, seed: 2}", f":{BASE_LINES + 1}: not valid YAML: duplicate key 'seed'"),
    ("\n\nx: [", f":{BASE_LINES + 4}: not valid YAML: expected the node content"),
    ("x: \t3", f":{BASE_LINES + 1}: not valid YAML: found character '\\t' that cannot start"),
    ("x: *a", f":{BASE_LINES + 1}: not valid YAML: found undefined alias 'a'"),
    ("\x00: 3", f":{BASE_LINES + 1}: not valid YAML: the character #x0000 is not allowed"),
    (
        "x: !!python/name:os.system",
        f":{BASE_LINES + 1}: not valid YAML: could not determine a constr",
    ),
    ("x: 2014-13-45", f":{BASE_LINES + 1}: not valid YAML: '2014-13-45': month must be in 1..12"),
    ("1: 2", f":{BASE_LINES + 1}: not valid YAML: key 1: expected text; put it in quotes"),
    (
        "features: {98001: date}",
        f":{BASE_LINES + 1}: not valid YAML: key 98001: expected text; put",
    ),
    (
        "? [a]\n: 3",
        f":{BASE_LINES + 1}: not valid YAML: key ['a']: expected text; put it in quotes",
    ),
]


@pytest.mark.parametrize(("text", "start"), [*cases(MISTAKES), *SYNTAX])
def test_a_mistake_is_one_line_with_its_key_and_the_allowed_values(mistakes, text, start):
    keys = {line.partition(":")[0] for line in text.splitlines()}
    base = [line for line in BASE.splitlines() if line.partition(":")[0] not in keys]
    (line,) = mistakes("\n".join([*base, text, ""]))
    start, *further = (part.strip() for part in start.split("..."))
    assert line[: len(start)] == start
    assert all(part in line for part in further), line


@pytest.mark.parametrize(
    ("key", "start"),
    [
        ("task", ": task: missing; add 'task: ...' (regression, binary or multiclass)"),
        ("label", ": label: missing; add 'label: ...' (the column to predict)"),
        ("data", ": data: missing; add 'data: ...' (the table, such as houses.csv)"),
        ("gates", ": gates: missing; add 'gates: ...' (at least one bound, such as rmse:"),
    ],
)
def test_a_missing_required_key_is_one_line(mistakes, key, start):
    (line,) = mistakes(replaced(**{key: None}))
    assert line[: len(start)] == start


def test_a_bound_too_large_for_a_float_is_refused(mistakes):
    (line,) = mistakes(replaced(gates=f"{{rmse: {{at_most: 1{'0' * 400}}}}}"))
    assert line.startswith(": gates.rmse.at_most: expected a number, found 1000")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ": expected keys and values such as 'label: price'"),
        ("- a", ": expected keys and values such as 'label: price'"),
        ("just text", ": expected keys and values such as 'label: price'"),
        (b"label: pr\xe9s", ": is not UTF-8 text; convert it first"),
    ],
)
def test_not_a_configuration_at_all(mistakes, text, line):
    assert mistakes(text) == [line]


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="nope.yaml: no such configuration file$"):
        config_file.load(tmp_path / "nope.yaml")
    with pytest.raises(UserError, match=": cannot be read: Is a directory$"):
        config_file.load(tmp_path)


def test_several_mistakes_are_several_lines(mistakes):
    text = (
        replaced(task="regresion", label="", data="5", gates="3")
        + "foo: 3\ntrain: {seed: x, a: 1}\n"
    )
    keys = sorted(line.split(": ")[1] for line in mistakes(text))
    assert keys == ["data", "foo", "gates", "label", "task", "train.a", "train.seed"]


LABELS = "interval: 0.8\nmore_labels: {sea: binary, lot/m2: regression}\n"


def test_intervals_and_further_labels_have_gates(load):
    gates = "{mae: {at_most: 5}, coverage: {at_least: 0.75}, sea/auc: {at_least: 0.7}}"
    config = load(replaced(gates=gates) + LABELS, "gates.lot/m2/rmse.may_worsen_by=0.1")
    assert config.gates["coverage"].absolute == 0.75
    assert config.gates["sea/auc"].absolute == 0.7
    assert config.gates["lot/m2/rmse"].may_worsen_by == 0.1


@pytest.mark.parametrize(
    ("labels", "gates", "line"),
    [
        ("", "coverage: {at_least: 1}", "there are no intervals to judge; add 'interval: 0.9'"),
        ("", "coverag: {at_least: 1}", "unknown metric (known: rmse, mae, rmsle, skill)"),
        (
            LABELS,
            "coverag: {at_least: 1}",
            "unknown metric; did you mean coverage? (known: rmse, mae, rmsle, skill, coverage, "
            "interval_width)",
        ),
        (
            LABELS,
            "coverage: {at_most: 1}",
            "found at_most, but a higher coverage is better: write at_least",
        ),
        (
            LABELS,
            "interval_width: {at_least: 1}",
            "found at_least, but a lower mean interval width is better: write at_most",
        ),
        (
            LABELS,
            "sea/acu: {at_least: 1}",
            "unknown metric; did you mean auc? (known: auc, accuracy, log_loss, skill)",
        ),
        (
            LABELS,
            "lot/m2/coverage: {at_least: 1}",
            "unknown metric (known: rmse, mae, rmsle, skill)",
        ),
        (
            LABELS,
            "sae/auc: {at_least: 1}",
            "sae is not one of more_labels; did you mean sea? (known: sea, lot/m2)",
        ),
        (
            "",
            "sea/auc: {at_least: 1}",
            "there are no further labels; add 'more_labels: {sea: ...}'",
        ),
        (LABELS, "price/rmse: {at_most: 1}", "price is the label itself; write rmse"),
        (
            LABELS,
            "sea/auc: {at_most: 1}",
            "found at_most, but a higher sea AUC is better: write at_least",
        ),
    ],
)
def test_a_gate_on_an_unknown_metric_is_refused(mistakes, labels, gates, line):
    key = gates.partition(":")[0]
    assert mistakes(replaced(gates=f"{{mae: {{at_most: 1}}, {gates}}}") + labels) == [
        f": gates.{key}: {line}"
    ]


def test_gates_may_be_never(load):
    assert load(replaced(gates="never")).gates is None
    assert load(replaced(gates="{rmse: {at_most: 1}}"), "gates=never").gates is None


def test_intervals_and_further_labels_alone_are_not_a_gate(mistakes):
    gates = "{coverage: {at_least: 0.75}, sea/auc: {at_least: 0.7}, mae: {may_worsen_by: 0.1}}"
    (line,) = mistakes(replaced(gates=gates) + LABELS)
    start = ": gates: no absolute bound on the predictions of price: without one the first model"
    assert line.startswith(start)
    assert line.endswith("; add for example rmse: {at_most: <value>}")


def test_every_wrong_gate_is_reported(mistakes):
    lines = mistakes(
        replaced(gates="{rmsee: {at_most: 1}, mae: {at_least: 1}, skill: {at_least: 0}}")
    )
    assert [line.split(": ")[1] for line in lines] == ["gates.rmsee", "gates.mae"]


def test_all_mistakes_between_sections_are_reported(mistakes):
    lines = mistakes(BASE + "features: {price: date}\nslices: [price]\n")
    assert [line.split(": ")[1] for line in lines] == ["features.price", "slices"]


def test_a_key_with_a_line_break_stays_on_one_line(mistakes):
    (line,) = mistakes(BASE + 'train: {"a\\nb": 3}\n')
    assert line.startswith(r": 'train.a\nb': unknown key")


class TestOverrides:
    def test_replace_and_create(self, load):
        config = load(
            BASE,
            "label=cost",
            "train.max_steps=5",
            "train.early_stopping.patience=3",
            "gates.mae.at_most=1e5",
            "features.zip=categorical",
            "slices=[zip]",
        )
        assert config.label == "cost"
        assert config.train.max_steps == 5
        assert config.train.early_stopping.patience == 3
        assert set(config.gates) == {"rmse", "mae"}
        assert config.features["zip"].kind == "categorical"
        assert config.slices[0].column == "zip"

    def test_the_last_one_wins(self, load):
        assert load(BASE, "train.seed=1", "train.seed=2").train.seed == 2

    def test_a_value_may_hold_equals_signs(self, load):
        assert load(BASE, "beam.args=[--a=b]").beam.args == ("--a=b",)

    def test_an_override_may_reach_into_a_short_form(self, load):
        text = BASE + "model: wide_deep\nfeatures: {zip: categorical}\n"
        config = load(
            text, "data.format=parquet", "model.params.hidden=[64]", "features.zip.min_count=3"
        )
        assert config.data.format == "parquet"
        assert config.data.path.name == "houses.csv"
        assert config.model.name == "wide_deep"
        assert config.model.params == {"hidden": [64]}
        assert (config.features["zip"].kind, config.features["zip"].min_count) == ("categorical", 3)

    def test_an_override_may_reach_into_an_empty_section(self, load):
        assert load(BASE + "train:\n", "train.seed=1").train.seed == 1

    @pytest.mark.parametrize("override", ["a", "", "=3", "a..b=3", ".a=3", "a.=3"])
    def test_an_override_must_be_key_and_value(self, mistakes, override):
        assert mistakes(BASE, override) == [
            f"--set {override}: expected key.path=value, such as train.max_steps=500"
        ]

    @pytest.mark.parametrize(
        ("override", "start"),
        [
            ("label.x=3", "--set label.x=3: label is a value and has no keys below it"),
            (
                "slices.0.gate=no",
                "--set slices.0.gate=no: slices is a list and has no keys below it",
            ),
            ("train=[", "--set train=[: the value is not valid YAML: expected the node content"),
            (
                "train={a: 1, a: 2}",
                "--set train={a: 1, a: 2}: the value is not valid YAML: duplicate",
            ),
            (
                "label=2014-13-45",
                "--set label=2014-13-45: the value is not valid YAML: '2014-13-45'",
            ),
            (
                "label=\x00",
                r"--set 'label=\x00': the value is not valid YAML: a character is not all",
            ),
            ("train.max_stps=3", ": train.max_stps: unknown key; did you mean max_steps?"),
            (
                "train.max_steps=x",
                ": train.max_steps: expected a whole number above zero, found 'x'",
            ),
            ("folder=x", ": folder: unknown key"),
        ],
    )
    def test_a_wrong_override_is_one_line(self, mistakes, override, start):
        (line,) = mistakes(BASE + "slices: [a]\n", override)
        assert line[: len(start)] == start


FULL = yaml.safe_load(
    """
name: houses
task: regression
label: price
log_label: true
data:
  {path: houses.csv, format: csv, schema: schema.pbtxt, encoding: latin-1,
   on_bad_rows: quarantine, max_bad_share: 0.1}
splits: {train: 7, eval: 1, test: 2, key: id}
interval: 0.9
more_labels: {sea: binary, grade: {task: regression, log_label: false}}
weight: sure
features:
  zip: {kind: categorical, vocabulary: 5, min_count: 1, oov_buckets: 2}
  day: date
  quality: {kind: ordinal, order: [low, high]}
derived: {age: day / 365, per room: "'area' / max(rooms, 1)"}
model: {name: wide_deep, params: {hidden: [64], dropout: 0.1}}
train: {max_steps: 5, batch_size: 2, early_stopping: {patience: 2}, cache_mb: 0, seed: 0}
gates: {rmse: {at_most: 5, may_worsen_by: 0.1}, skill: {at_least: 0.5}}
slices: [{column: price, bands: [1, 2]}, zip]
beam: {args: [--a]}
push: {directory: out}
"""
)


def _containers(value, path=()):
    """Yields the paths of the non-empty mappings and lists in a value, itself included."""
    if isinstance(value, (dict, list)) and value:
        yield path
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _containers(value[key], (*path, key))


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.dates(),
    st.text(max_size=5),
    st.sampled_from(["csv", "binary", "price", "numeric", "1e6", "a\nb", "a\0b", "é", "0"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=2),
    ),
    max_leaves=3,
)
_KEYS = st.one_of(
    st.text(string.printable, max_size=4),
    st.integers(),
    st.booleans(),
    st.none(),
    st.dates(),
    st.sampled_from(
        ["train", "kind", "column", "rmse", "price", "folder", "schema_file", "__root__"]
    ),
)


@st.composite
def _mutated(draw):
    config = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 4))):
        if not config:
            break
        target = config
        for key in draw(st.sampled_from(list(_containers(config)))):
            target = target[key]
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = draw(st.sampled_from(keys))
        change = draw(st.sampled_from(["delete", "replace", "rename"]))
        if change == "delete":
            del target[key]
        elif change == "replace" or isinstance(target, list):
            target[key] = draw(_VALUES)
        else:
            target[draw(_KEYS)] = target.pop(key)
    return config


@examples(300)
@given(_mutated())
def test_any_configuration_loads_or_is_refused_in_plain_lines(load, raw):
    try:
        load(yaml.safe_dump(raw, allow_unicode=True))
    except UserError as error:
        lines = str(error).split("\n")
        assert all(line.startswith(str(load.path)) for line in lines)
        assert all(line.isprintable() for line in lines)
        for words in (
            "value is not",
            "field required",
            "none is not",
            "must be strings",
            "pydantic",
        ):
            assert words not in str(error)


def test_the_configuration_that_is_mutated_is_valid(load):
    assert load(yaml.safe_dump(FULL)).train.max_steps == 5


class TestPresets:
    TEXT = BASE + (
        "model: mlp\ntrain: {max_steps: 10}\n"
        "presets:\n  best: {model.params.dropout: 0.3, train.max_steps: 90}\n"
    )

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "pipeline.yaml"
        path.write_text(self.TEXT)
        return path

    def test_a_preset_replaces_the_file_and_overrides_replace_both(self, path):
        config = config_file.load(path, preset="best")
        assert (config.model.name, config.model.params) == ("mlp", {"dropout": 0.3})
        assert config.train.max_steps == 90
        assert config_file.load(path, ["train.max_steps=5"], "best").train.max_steps == 5
        assert config_file.load(path).train.max_steps == 10

    def test_an_unknown_preset_is_refused(self, path):
        with pytest.raises(
            UserError, match="--preset fast: not among the presets of .*; it has best"
        ):
            config_file.load(path, preset="fast")

    def test_a_key_that_does_not_exist_is_explained(self, path):
        path.write_text(self.TEXT.replace("train.max_steps: 90", "train.max_stepz: 90"))
        with pytest.raises(UserError, match="train.max_stepz: unknown key; did you mean"):
            config_file.load(path, preset="best")
