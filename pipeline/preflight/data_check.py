"""Checks before any long work that the configured table and curated schema exist and fit.

The checks build on each other: files, names of columns, the profile of the table against the rules,
and the number of rows of each split. The first that finds mistakes ends them.
"""

import dataclasses
import fnmatch
import pathlib
import re
from collections.abc import Iterable

from components.tables import profile as profile_lib
from components.tables import reader, table_files
from components.tables.table import NO_ROWS, BadTable
from models.errors import UserError
from pipeline.config.configuration import Config
from pipeline.preflight import column_names, split_counts, table_report, table_rules, table_view
from pipeline.preflight.table_report import TableReport
from pipeline.preflight.table_view import TableView


def check_data(config: Config) -> TableReport | None:
    """Checks that the table and the curated schema exist and fit the configuration.

    Returns:
        A report on the table; None for TFRecords, which are not profiled.

    Raises:
        UserError: the table or the schema has mistakes; the message has one line for each.
    """
    files = [str(file) for file in data_files(config)]
    try:
        return _check_table(config, files)
    except BadTable as error:
        text = str(error)
        is_of_file = any(text.startswith(f"{file}: ") for file in files)
        raise UserError(f"data.path: {text}" if is_of_file else text) from None


def _check_table(config: Config, files: list[str]) -> TableReport | None:
    data = config.data
    classes = [name for name, task in config.tasks.items() if task != "regression"]
    reading = dataclasses.replace(data.reading, classes=classes)
    table = reader.open_table(files, reading, folder=str(data.folder))
    if not table.names:
        raise BadTable(f"{files[0]}: {NO_ROWS}")
    mistakes = column_names.configured_mistakes(config, table.names, files[0])
    schema = None
    if path := data.schema_file:
        schema, unreadable = column_names.read_schema(path)
        mistakes += unreadable or column_names.schema_mistakes(path, schema, table.names, files[0])
    _refuse(mistakes)
    if data.format == "tfrecord":
        return None
    wanted = table_view.wanted(config, schema)
    profile = profile_lib.profile(table, files, wanted, data.on_bad_rows == "refuse")
    view = TableView.of(config, profile, schema)
    _refuse(table_rules.mistakes(view))
    if not _is_by_span(config):
        counts = split_counts.count(
            config.splits,
            table,
            files,
            view.kinds(),
            profile,
            list(config.tasks),
            view.features(),
        )
        view = dataclasses.replace(view, splits=counts)
        _refuse(table_rules.splits_have_rows(view))
    return table_report.report(view)


def _refuse(mistakes: Iterable[str]) -> None:
    if text := "\n".join(mistakes):
        raise UserError(text)


def _is_by_span(config: Config) -> bool:
    """Returns whether the path selects files by span, so that the table has further rows later."""
    return _SPAN.search(config.data.pattern) is not None


_SPAN_PARTS = ("YYYY", "MM", "DD", "SPAN", "VERSION")
_SPAN = re.compile(rf"\{{({'|'.join(_SPAN_PARTS)})(:\d+)?\}}")


def data_files(config: Config) -> list[pathlib.Path]:
    """Returns the files that ExampleGen reads, in order: of spans, the latest version of the last.

    Raises:
        UserError: no file matches.
    """
    path, folder = config.data.path, config.data.folder
    names = table_files.matching(str(folder), _SPAN.sub("*", config.data.pattern))
    files = [pathlib.Path(name) for name in names]
    if _is_by_span(config):
        files = _latest(files, folder, config.data.pattern)
    if not files:
        raise UserError(f"data.path: {table_files.why_none(str(path))}")
    return files


def _latest(files: list[pathlib.Path], folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Returns the files of the latest span, and of them those of the latest version."""
    parts = [match[1] for match in _SPAN.finditer(pattern)]
    digits = re.sub(r"\\\{[A-Z]+(:\d+)?\\\}", r"(\\d+)", fnmatch.translate(pattern))
    by_span: dict[tuple[int, ...], list[pathlib.Path]] = {}
    for file in files:
        if match := re.fullmatch(digits, file.relative_to(folder).as_posix()):
            values = dict(zip(parts, map(int, match.groups())))
            span = tuple(values.get(part, 0) for part in _SPAN_PARTS)
            by_span.setdefault(span, []).append(file)
    return by_span[max(by_span)] if by_span else []
