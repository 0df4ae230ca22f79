"""Helpers that run the executors of ExampleGens on a folder: ours, and TFX's to compare with."""

import collections
import dataclasses
import itertools
import json
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import beam_steps
import tensorflow as tf
from google.protobuf import json_format
from tfx.components.example_gen import base_example_gen_executor
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.components.example_gen.import_example_gen import executor as import_executor
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import io_utils
from tfx_bsl.coders import csv_decoder

from components.table_example_gen import Options, executor, shards
from components.tables import column_kinds, reader

SPLITS = {"train": 2, "eval": 1, "test": 1}
SMALL: dict[str, Any] = {"format": "csv", "block_bytes": 300, "shard_bytes": 900}
Rows = dict[str, collections.Counter]
"""By split, how often it has each example, in protobuf's canonical bytes."""


@dataclasses.dataclass
class Examples:
    """The output of an ExampleGen."""

    artifact: standard_artifacts.Examples

    @property
    def folder(self) -> pathlib.Path:
        return pathlib.Path(self.artifact.uri)

    @property
    def files(self) -> dict[str, bytes]:
        """The contents of the splits' files by path."""
        paths = sorted(self.folder.glob("Split-*/*"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "ingestion.json").read_text())

    @property
    def quarantine(self) -> list[dict]:
        files = sorted(self.folder.glob("quarantine/*"))
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return sorted(rows, key=lambda row: (row["file"], row["line"]))

    def records(self, split: str) -> list[bytes]:
        """Returns the records of a split, in order."""
        return _records(sorted(self.folder.glob(f"Split-{split}/*")))

    def rows(self) -> Rows:
        """Returns the examples of each split."""
        names = json.loads(self.artifact.split_names)
        return {name: _counted(self.records(name)) for name in names}


def ours(folder: pathlib.Path, key=None, pattern="*", splits=SPLITS, **options) -> Examples:
    """Runs our executor on the files of a folder, with blocks and shards of a few hundred bytes."""
    custom = Options(**{**SMALL, **options}).pack()
    return _run(executor.Executor, folder, key, pattern, splits, custom_config=_json(custom))


def stock_csv(folder: pathlib.Path, key=None, pattern="*", splits=SPLITS) -> Examples:
    """Runs TFX's CsvExampleGen."""
    return _run(csv_executor.Executor, folder, key, pattern, splits)


def stock_import(folder: pathlib.Path, key=None, pattern="*", splits=SPLITS) -> Examples:
    """Runs TFX's ImportExampleGen."""
    return _run(import_executor.Executor, folder, key, pattern, splits)


def ours_without_beam(file: pathlib.Path, key=None, **options) -> Rows:
    """Returns our examples of a file, from the functions our Beam pipeline calls."""
    config = Options(**{**SMALL, **options})
    source = reader.open_table(
        [str(file)], config.reading, config.known_kinds(), config.block_bytes
    )
    pieces = list(source.pieces(str(file)))
    kinds = column_kinds.kinds(column_kinds.merge(source.infer(piece)[0] for piece in pieces))
    kinds |= config.known_kinds()
    names = tuple(SPLITS)
    split = shards.Splits(names, tuple(itertools.accumulate(SPLITS.values())), key)
    with tempfile.TemporaryDirectory() as folder:
        for shard in shards.deal(pieces, config.shard_bytes, config.seed):
            shards.write(shard, source, kinds, split, {n: f"{folder}/{n}" for n in names}, None, 0)
        return {
            name: _counted(_records(sorted(pathlib.Path(folder).glob(f"{name}/*"))))
            for name in names
        }


def stock_csv_without_beam(file: pathlib.Path, key=None) -> Rows:
    """Returns CsvExampleGen's examples of a file, from the functions its Beam pipeline calls."""
    names = io_utils.load_csv_column_names(str(file))
    parse = csv_decoder.ParseCSVLine(",")
    parse.setup()
    lines = csv_executor._ReadCsvRecordsFromTextFile().process(str(file))
    cells = [row for line in lines for row, _ in parse.process(line)]
    inferrer = csv_decoder.ColumnTypeInferrer(names, skip_blank_lines=True)
    found = inferrer.create_accumulator()
    for row in cells:
        found = inferrer.add_input(found, row)
    infos = inferrer.extract_output(found)
    to_example = csv_executor._ParsedCsvToTfExample()
    buckets = list(itertools.accumulate(SPLITS.values()))
    config = _split_config(SPLITS, key)
    records: dict[str, list[bytes]] = {name: [] for name in SPLITS}
    for row in cells:
        for example in to_example.process(row, infos):
            index = base_example_gen_executor._PartitionFn(example, len(buckets), buckets, config)
            records[list(SPLITS)[index]].append(example.SerializeToString())
    return {name: _counted(found) for name, found in records.items()}


def _run(run, folder, key, pattern, splits, **more) -> Examples:
    artifact = standard_artifacts.Examples()
    number = len(list(folder.parent.glob(f"{folder.name}-examples-*")))
    artifact.uri = str(folder.with_name(f"{folder.name}-examples-{number}"))
    pathlib.Path(artifact.uri).mkdir()
    split_config = _split_config(splits, key)
    properties = {
        "input_base": str(folder),
        "input_config": _json(
            example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern=pattern)])
        ),
        "output_config": _json(example_gen_pb2.Output(split_config=split_config)),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
        **more,
    }
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_steps.ARGUMENTS, tmp_dir=artifact.uri, unique_id="1"
    )
    with beam_steps.patched():
        run(context).Do({}, {"examples": [artifact]}, properties)
    return Examples(artifact)


def _split_config(splits, key) -> example_gen_pb2.SplitConfig:
    return example_gen_pb2.SplitConfig(
        splits=[
            example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=buckets)
            for name, buckets in splits.items()
        ],
        partition_feature_name=key,
    )


def _records(paths) -> list[bytes]:
    # For few records a `tf.data` dataset would take much longer to make than to read.
    zipped = tf.io.TFRecordOptions("GZIP")
    files = [tf.compat.v1.io.tf_record_iterator(str(path), zipped) for path in paths]
    return list(itertools.chain.from_iterable(files))


def _counted(records: Iterable[bytes]) -> collections.Counter:
    return collections.Counter(
        tf.train.Example.FromString(record).SerializeToString(deterministic=True)
        for record in records
    )


def _json(message) -> str:
    return json_format.MessageToJson(message, preserving_proto_field_name=True)
