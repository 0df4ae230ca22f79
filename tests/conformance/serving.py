"""The serving check and the row checks, applied to an exported model."""

import numpy as np
import rich_table
from tfx_bsl.coders import example_coder

from components.evaluator import row_checks
from components.evaluator.row_checks import Finding
from components.serving_check import executor
from components.serving_check.report import Report
from models.features.label import labels_of_export
from tests.conformance.lab import Run

_SECONDS = 300


def report(run: Run) -> Report:
    """Returns the report of the real serving check on rows that include labels."""
    schema = run.table.schema.SerializeToString()
    records = [rich_table.example(row) for row in run.table.eval_rows[:64]]
    batch = example_coder.ExamplesToRecordBatchDecoder(schema).DecodeBatch(records)
    return executor.check(run.export, batch, _SECONDS)


def findings(run: Run, outputs: dict[str, np.ndarray]) -> list[Finding]:
    """Returns the findings of the row checks on the outputs for all eval rows."""
    rows = len(run.table.eval_rows)
    labels = labels_of_export(run.export)
    return row_checks.check(outputs, labels, rows, str)[1]
