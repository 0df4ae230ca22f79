"""Samples test rows, has the export predict them in a fresh process, and writes the report."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from etils import epath
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils
from tfx_bsl.coders import example_coder

from components.example_io import requests
from components.serving_check import answer_checks, fresh_process, graph_faults
from components.serving_check.report import FILE_NAME, Report
from components.tables import tfrecords
from models.features import export_inputs
from models.features.label import labels_of_export

MODEL = "model"
EXAMPLES = "examples"
SCHEMA = "schema"
CHECK = "serving_check"
SECONDS = "seconds"

_SPLIT = "test"
_ROWS = 64
_ALONE = 16
_FROM = 20_000
"""The sample is drawn from this many rows at the start of the split."""
_SEED = 17


class Executor(base_executor.BaseExecutor):
    """See the component."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the report on the export; a bad one fails the verdict, not this component."""
        export = path_utils.serving_model_dir(artifact_utils.get_single_uri(input_dict[MODEL]))
        report = check(export, self._sample(input_dict), exec_properties[SECONDS])
        folder = epath.Path(artifact_utils.get_single_uri(output_dict[CHECK]))
        (folder / FILE_NAME).write_text(report.to_json())

    def _sample(self, input_dict) -> pa.RecordBatch:
        schema = artifact_utils.get_single_uri(input_dict[SCHEMA])
        decoder = example_coder.ExamplesToRecordBatchDecoder(
            io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema)).SerializeToString()
        )
        # Reservoir sampling: the records of a wide table may be too large to hold together.
        random = np.random.default_rng(_SEED)
        chosen: list[bytes] = []
        for index, record in enumerate(_records(input_dict[EXAMPLES])):
            slot = index if index < _ROWS else int(random.integers(index + 1))
            if slot < _ROWS:
                chosen[slot : slot + 1] = [record]
        return decoder.DecodeBatch(chosen)


def check(export: str, sample: pa.RecordBatch, seconds: int) -> Report:
    """Checks an export, and returns the report.

    Args:
        export: directory of a SavedModel with the Trainer's additions.
        sample: raw examples, labels included.
        seconds: time limit for the process.
    """
    try:
        faults = graph_faults.of_export(export)
    except graph_faults.UnreadableGraph as error:
        return Report((f"The export's graph cannot be read: {error}",), (), False)
    findings = tuple(faults.sentences())
    if faults.python:
        return Report(findings, (), False)
    report = _report_on_answers(export, sample, seconds)
    return dataclasses.replace(report, findings=(*findings, *report.findings))


def _report_on_answers(export: str, sample: pa.RecordBatch, seconds: int) -> Report:
    labels = labels_of_export(export)
    columns = [column.name for column in export_inputs.of_export(export)]
    asked = answer_checks.Sample(
        sample.num_rows,
        min(_ALONE, sample.num_rows),
        lambda row: requests.describe(sample, row, columns),
    )
    try:
        answer = fresh_process.ask(
            export, requests.serialize(sample, columns), asked.alone, seconds=seconds
        )
    except fresh_process.NoAnswer as error:
        return answer_checks.no_answer(str(error))
    return answer_checks.check(answer, labels, asked)


def _records(examples: Any) -> Iterator[bytes]:
    """Yields the first records of the test split."""
    left = _FROM
    for uri in artifact_utils.get_split_uris(examples, _SPLIT):
        for name in sorted(map(str, fileio.listdir(uri))):
            with FileSystems.open(FileSystems.join(uri, name)) as file:
                for batch in tfrecords.read(file, 1 << 12):
                    yield from batch[:left]
                    left -= len(batch)
                    if left <= 0:
                        return
