"""Reads a table with Beam: cuts its files into pieces, infers column kinds and writes examples.

Beam passes no rows between steps, only the positions of file pieces and what became of their rows.
So on every runner, memory depends on the size of a block, not on the size of the table.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from google.protobuf import json_format
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.example_io import counters
from components.table_example_gen import options, shards
from components.table_example_gen.options import Options
from components.table_example_gen.shards import Shard, Splits, Written
from components.tables import bad_rows, column_kinds, ingestion, reader, table, table_files
from components.tables.column_kinds import Held, Kinds
from components.tables.table import BadRow, BadTable, Piece, Table

QUARANTINED = "quarantined_rows"
"""Property of the artifact: the number of rows that were quarantined."""
_MISTAKES = "mistakes"

Inferred = tuple[Mapping[str, Held], BadRow | None]


class Executor(base_beam_executor.BaseBeamExecutor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the examples of each split and the ingestion report.

        Raises:
            BadTable: a pattern matches no file, there are no rows, a file cannot be read, a row
                cannot be read and `on_bad_rows` is "refuse", or more than `max_bad_share` cannot.
            RuntimeError: rows or files were lost on the way.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = options.unpack(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        inputs = example_gen_pb2.Input()
        outputs = example_gen_pb2.Output()
        json_format.Parse(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], inputs)
        json_format.Parse(exec_properties[standard_component_specs.OUTPUT_CONFIG_KEY], outputs)
        examples = output_dict[standard_component_specs.EXAMPLES_KEY]
        (artifact,) = examples
        splits = _splits(inputs, outputs)
        artifact.split_names = artifact_utils.encode_split_names(list(splits.names))

        folder = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        paths = list(_files(folder, [split.pattern for split in inputs.splits]))
        task = _Task(
            table=reader.open_table(
                sorted({path for path, _ in paths}),
                config.reading,
                config.known_kinds(),
                config.block_bytes,
                folder,
            ),
            options=config,
            splits=splits,
            folders={name: artifact_utils.get_split_uri(examples, name) for name in splits.names},
            quarantine=os.path.join(artifact.uri, shards.QUARANTINE),
            report=os.path.join(artifact.uri, ingestion.REPORT_FILE),
        )
        with self._make_beam_pipeline() as pipeline:
            _ingest(pipeline, paths, task)
        report = ingestion.report(artifact.uri)
        _check(report, config, folder)
        for name, split_folder in task.folders.items():
            files_made = len(fileio.glob(os.path.join(split_folder, "*")))
            if files_made != report["shards"]:
                raise RuntimeError(
                    f"files were lost: {report['shards']} were written to split {name}, "
                    f"{files_made} are in {split_folder}"
                )

        artifact.set_int_custom_property(QUARANTINED, report["quarantined"])
        examples_utils.set_payload_format(
            artifact, exec_properties[standard_component_specs.OUTPUT_DATA_FORMAT_KEY]
        )
        examples_utils.set_file_format(artifact, "tfrecords_gzip")


def rows_of(examples: types.Artifact) -> dict[str, int]:
    """Returns the number of rows of each split in the component's output."""
    return ingestion.report(examples.uri)["splits"]


@dataclasses.dataclass(frozen=True)
class _Task:
    table: Table
    options: Options
    splits: Splits
    folders: Mapping[str, str]
    quarantine: str
    report: str

    @property
    def refuses(self) -> bool:
        return self.options.on_bad_rows == "refuse"


def _splits(inputs: example_gen_pb2.Input, outputs: example_gen_pb2.Output) -> Splits:
    names = tuple(utils.generate_output_split_names(inputs, outputs))
    ends: list[int] = []
    for split in outputs.split_config.splits:
        ends.append(split.hash_buckets + (ends[-1] if ends else 0))
    return Splits(names, tuple(ends), outputs.split_config.partition_feature_name or None)


def _files(folder: str, patterns: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yields the files of every input split, each with the index of its split."""
    for split, pattern in enumerate(patterns):
        files = table_files.matching(folder, pattern)
        if not files:
            raise BadTable(f"data.path: {table_files.why_none(os.path.join(folder, pattern))}")
        for file in files:
            yield file, split


def _ingest(pipeline: beam.Pipeline, paths: Sequence[tuple[str, int]], task: _Task) -> None:
    pieces, cut_mistakes = _with_mistakes(
        pipeline | "Files" >> beam.Create(paths) | "SpreadFiles" >> beam.Reshuffle(),
        "Cut",
        _Cut(task),
    )
    known = task.table.kinds
    mistakes = [cut_mistakes]
    if known is not None:
        inferred = pipeline | "Kinds" >> beam.Create([(_held(known), None)])
    else:
        parts, infer_mistakes = _with_mistakes(
            pieces | "SpreadPieces" >> beam.Reshuffle(), "Infer", _Infer(task)
        )
        inferred = parts | "Merge" >> beam.CombineGlobally(_merged)
        mistakes.append(infer_mistakes)
    written, write_mistakes = _with_mistakes(
        pieces
        | "Gather" >> beam.combiners.ToList()
        | "Deal" >> beam.FlatMap(shards.deal, task.options.shard_bytes, task.options.seed)
        | "SpreadShards" >> beam.Reshuffle(),
        "Write",
        _Write(task),
        beam.pvalue.AsSingleton(inferred),
    )
    mistakes.append(write_mistakes)
    _ = (
        pipeline
        | "Once" >> beam.Create([task])
        | "Report"
        >> beam.Map(
            _report,
            beam.pvalue.AsList(pieces),
            beam.pvalue.AsSingleton(inferred),
            beam.pvalue.AsList(written),
            beam.pvalue.AsList(mistakes | "Mistakes" >> beam.Flatten()),
        )
    )


def _with_mistakes(collection: beam.PCollection, label: str, do: beam.DoFn, *side: Any):
    """Applies `do`; returns its output and its mistakes, whose text an exception would garble."""
    both = collection | label >> beam.ParDo(do, *side).with_outputs(_MISTAKES, main="main")
    return both["main"], both[_MISTAKES]


class _Step(beam.DoFn):
    def __init__(self, task: _Task):
        self._task = task


class _Cut(_Step):
    def process(self, file: tuple[str, int]):
        try:
            for piece in self._task.table.pieces(*file):
                counters.expect(piece.rows or 0)
                yield piece
        except BadTable as error:
            yield beam.pvalue.TaggedOutput(_MISTAKES, str(error))


class _Infer(_Step):
    def process(self, piece: Piece):
        try:
            held, bad = self._task.table.infer(piece)
        except BadTable as error:
            yield beam.pvalue.TaggedOutput(_MISTAKES, str(error))
            return
        yield {**held, **_held(self._task.options.known_kinds())}, bad


def _held(kinds: Kinds) -> dict[str, Held]:
    return {name: Held.by(kind) for name, kind in kinds.items()}


def _merged(parts: Iterable[Inferred]) -> Inferred:
    """Merges what the columns hold in all pieces, and picks the first bad row."""
    parts = list(parts)
    bad = [row for _, row in parts if row is not None]
    first = min(bad, key=lambda row: (row.file, row.line), default=None)
    return column_kinds.merge(held for held, _ in parts), first


class _Write(_Step):
    def process(self, shard: Shard, inferred: Inferred):
        task = self._task
        held, bad = inferred
        if bad is not None and task.refuses:
            return
        quarantine = None if task.refuses else task.quarantine
        try:
            yield shards.write(
                shard,
                task.table,
                column_kinds.kinds(held),
                task.splits,
                task.folders,
                quarantine,
                task.options.seed,
            )
        except BadTable as error:
            yield beam.pvalue.TaggedOutput(_MISTAKES, str(error))


def _report(
    task: _Task,
    pieces: Sequence[Piece],
    inferred: Inferred,
    written: Sequence[Written],
    mistakes: Sequence[str],
) -> None:
    held, bad = inferred
    firsts = [row for row in (bad, *(shard.first for shard in written)) if row is not None]
    first = min(firsts, key=lambda row: (row.file, row.line), default=None)
    splits: dict[str, int] = {}
    for shard in written:
        for name, rows in shard.splits.items():
            splits[name] = splits.get(name, 0) + rows
    report = {
        "files": len({piece.file for piece in pieces}),
        "rows": sum(shard.rows for shard in written),
        "rows_counted": None
        if any(piece.rows is None for piece in pieces)
        else sum(piece.rows or 0 for piece in pieces),
        "shards": len(written),
        "splits": splits,
        "quarantined": sum(shard.bad for shard in written),
        "first_bad_row": first and str(first),
        "kinds": {name: kind.name for name, kind in column_kinds.kinds(held).items()},
        "dates": sorted(task.table.dates),
        "notes": [*task.table.notes, *column_kinds.notes(held)],
        "mistakes": sorted(mistakes),
    }
    with fileio.open(task.report, "w") as file:
        file.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _check(report: Mapping[str, Any], config: Options, folder: str) -> None:
    """Raises an error for the first problem that the report shows."""
    if report["mistakes"]:
        raise BadTable(report["mistakes"][0])
    first, bad, rows = report["first_bad_row"], report["quarantined"], report["rows"]
    if first and config.on_bad_rows == "refuse":
        raise BadTable(f"{first}; {bad_rows.ADVICE}")
    if not rows:
        raise BadTable(f"data.path: {folder}: {table.NO_ROWS}")
    bad_rows.check_share(bad, rows, config.max_bad_share, first)
    counted = report["rows_counted"]
    example_count = sum(report["splits"].values())
    if example_count + bad != rows or counted not in (None, rows):
        raise RuntimeError(
            f"rows were lost: {counted or rows} are in the files, {rows} were read, "
            f"{example_count} became examples and {bad} were quarantined"
        )
