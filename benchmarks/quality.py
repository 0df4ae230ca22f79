"""Quality of our models compared with references, on several tables and splits of each.

    python benchmarks/quality.py --seeds 5
    python benchmarks/quality.py --untuned --models tabm --seeds 2
    python benchmarks/quality.py --datasets ames --models tabm --set model.params.dropout=0.2

Each seed gives another split of the table (see `tables.py`) and seeds everything random. Our models
run through the real pipeline, in one workspace per dataset and seed, and its Evaluator scores the
exported model; the references (see `references.py`) are fitted on the examples that the pipeline's
ExampleGen wrote. All are fitted on train, tuned on eval and scored on test.

Lower is better in every column; differences to the best reference are paired by seed. Training
seconds of our models include evaluations during training; those of a tuned reference are for the
selected fit only.

Finished repetitions are kept in `benchmarks/results/quality.json` and skipped, unless `--fresh` is
given. A model with other settings (`--set`), or with a preset of the configuration (`tabm@NAME`),
counts as another model.
"""

import argparse
import itertools
import os
import pathlib
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rich.console import Console
from rich.table import Table

from benchmarks import tables
from benchmarks.quality_runs import DatasetRuns
from benchmarks.record import Record
from models.errors import UserError
from pipeline.console import terminal
from pipeline.graph import fingerprint
from pipeline.storage.workspace import Workspace

RESULTS = pathlib.Path(__file__).with_name("results") / "quality.json"
MODELS = ("tabm", "mlp", "wide_deep")
REFERENCES = (
    "constant",
    "linear",
    "lightgbm default",
    "lightgbm tuned",
    "catboost default",
    "catboost tuned",
)


def show(console: Console, record: Record, dataset: str) -> None:
    """Prints the table of a dataset."""
    rows = {(r["model"], r["metric"]): r for r in record.summary() if r["dataset"] == dataset}
    paired = {(r["model"], r["metric"]): r for r in record.differences() if r["dataset"] == dataset}
    metrics = list(dict.fromkeys(metric for _, metric in rows))
    names = list(dict.fromkeys(model for model, _ in rows))
    table = Table(title=f"{dataset}: mean ± standard deviation over seeds; lower is better")
    table.add_column("model", no_wrap=True)
    for heading in (*metrics, "seeds", "train s", "steps/s"):
        table.add_column(heading, justify="right")
    for name in sorted(names, key=lambda name: (*REFERENCES, name).index(name)):
        cells = [rows[name, metric] for metric in metrics]
        (*_, last) = cells
        table.add_row(
            name,
            *(_with_spread(cell["value"], cell["std"], _format_score) for cell in cells),
            str(last["seeds"]),
            *("–" if last[k] is None else f"{last[k]:,.1f}" for k in _SPEEDS),
        )
    table.add_section()
    for name in dict.fromkeys(model for model, _ in paired):
        cells = [paired[name, metric] for metric in metrics]
        table.add_row(
            f"{name} vs.\nthe best reference",
            *(
                f"{_with_spread(cell['difference'], cell['std'], '{:+.1%}'.format)}\n"
                f"{cell['reference']}\nbetter on {cell['better']} of {cell['seeds']}"
                for cell in cells
            ),
        )
    console.print(table)


_SPEEDS = ("train_seconds", "steps_per_second")


def _with_spread(value: float, spread: float | None, to_text: Callable[[float], str]) -> str:
    return to_text(value) + (f" ± {to_text(spread).lstrip('+')}" if spread is not None else "")


def _format_score(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4f}"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--datasets",
        nargs="+",
        choices=tables.DATASETS,
        default=list(tables.TUNED),
        metavar="NAME",
        help=f"some of {', '.join(tables.DATASETS)} (default: the tuned ones, "
        f"{', '.join(tables.TUNED)})",
    )
    add(
        "--untuned",
        dest="datasets",
        action="store_const",
        const=list(tables.UNTUNED),
        help="the datasets on which nothing was tuned, with the defaults only",
    )
    add(
        "--models",
        nargs="*",
        default=list(MODELS),
        metavar="NAME",
        help=f"our models, as NAME or NAME@PRESET (default: {' '.join(MODELS)})",
    )
    add(
        "--references",
        nargs="*",
        choices=REFERENCES,
        default=list(REFERENCES),
        metavar="NAME",
        help=f"some of {', '.join(REFERENCES)} (default: all)",
    )
    add("--seeds", type=int, default=5, help="number of splits of each table (default: 5)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for our models, override a key of every dataset's configuration",
    )
    add("--fresh", action="store_true", help="also repeat what the record already has")
    add(
        "--threads",
        type=int,
        default=os.cpu_count(),
        help="threads for the references (default: all CPUs)",
    )
    add(
        "--workspace",
        type=pathlib.Path,
        default=tables.REPOSITORY / "workspace" / "quality",
        help="directory of the runs (default: workspace/quality)",
    )
    add(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        help="record (default: benchmarks/results/quality.json)",
    )
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the repetitions that are not finished, and prints the tables."""
    args = parse_args(argv)
    arguments = sys.argv[1:] if argv is None else list(argv)
    record = Record(
        args.output, shlex.join(["python", "benchmarks/quality.py", *arguments]), REFERENCES
    )
    root = args.workspace.resolve()
    for dataset in args.datasets:
        tables.source(dataset, root / dataset)  # report a missing table now, not after hours
    log = Workspace(root).new_log("quality")
    with terminal.logging_to(log) as console:
        if not console.is_terminal:
            console.width = 120
        console.print(f"log: {log}", soft_wrap=True, highlight=False)
        failures = _run_missing(args, record, root, console)
        for dataset in args.datasets:
            show(console, record, dataset)
        if len({r["code"] for r in record.repetitions}) > 1:
            console.print("Some rows were measured with earlier code; --fresh measures them again.")
        console.print(f"record: {args.output}", soft_wrap=True, highlight=False)
    return 1 if failures else 0


def _run_missing(
    args: argparse.Namespace, record: Record, root: pathlib.Path, console: Console
) -> int:
    """Runs the repetitions that the record lacks; returns how many failed."""
    ours = {" ".join([model, *args.set]): model for model in args.models}
    if args.fresh:
        record.remove(args.datasets, [*ours, *args.references])
    code = fingerprint.of_modules("models", "components", "pipeline", "benchmarks")
    failures = 0
    for seed, dataset in itertools.product(range(args.seeds), args.datasets):
        runs = DatasetRuns(dataset, seed, root)
        for name in (*ours, *args.references):
            if record.find(dataset, name, seed):
                continue
            began = time.monotonic()
            try:
                if name in ours:
                    result = runs.model(ours[name], args.set)
                else:
                    result = runs.reference(name, args.threads)
                key = {"dataset": dataset, "model": name, "seed": seed, "code": code}
                record.add({**key, **result})
                scores = ", ".join(f"{k} {_format_score(v)}" for k, v in result["scores"].items())
                text = f"{scores} ({time.monotonic() - began:.0f} s)"
            except UserError:
                raise
            except Exception as error:
                failures += 1
                traceback.print_exc()
                text = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            line = f"{dataset}, seed {seed}, {name}: {text}"
            console.print(line, soft_wrap=True, highlight=False)
    return failures


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as mistake:
        print(mistake, file=sys.stderr)
        sys.exit(2)
