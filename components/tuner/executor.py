"""Runs the trials of a search in separate processes, and writes the best and all of them.

A search keeps its study and the training of each trial in a directory below `training_root`. The
directory's name depends on the settings of the search, except `trials` and `parallel`, so a search
that was killed, or is run again with more trials, resumes from there.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging
from etils import epath
from tfx.components.trainer import fn_args_utils
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.tuner import study_file
from components.tuner.trial_processes import TrialPool, TrialProcess
from components.tuner.tune_settings import TuneSettings
from models.errors import StepError
from models.progress import observer
from models.settings import fn_args as fn_args_lib
from models.settings.training_settings import Model, Settings
from models.training.problem import Problem, trainer_properties
from models.zoo import registry

if TYPE_CHECKING:
    from components.tuner.study import Trial

BEST, RESULTS = "best_hyperparameters", "tuner_results"
"""Names of the outputs."""
BEST_FILE, TRIALS_FILE = "best_hyperparameters.json", "trials.json"
"""Name of the file in each output."""


class Executor(base_executor.BaseExecutor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Starts or resumes the search.

        Raises:
            StepError: no trial was completed, or the model does not have the metric.
        """
        from components.tuner.study import Study  # slow: Optuna takes a second to import

        properties = trainer_properties(
            Settings.from_json(exec_properties["problem"]), exec_properties["training_root"]
        )
        fn_args = fn_args_utils.get_common_fn_args(input_dict, properties)
        fn_args.transform_output = fn_args.transform_graph_path
        tune = TuneSettings.from_json(exec_properties["tune"])
        length = {"train.max_steps": tune.max_steps} if tune.max_steps else {}
        fn_args.hyperparameters = {"values": length}
        problem = Problem.of(fn_args)
        every = tune.evaluate_every or problem.settings.train.evaluate_every
        tune = dataclasses.replace(tune, evaluate_every=every)
        fixed = {**length, "train.evaluate_every": every}

        directory = epath.Path(fn_args.custom_config["training_root"]) / "tuning"
        directory /= _fingerprint(problem, tune, exec_properties["code"])
        directory.mkdir(parents=True, exist_ok=True)
        logging.info("Tuning directory: %s", directory)
        with study_file.local(directory / "study.sqlite") as (file, keep):
            study = Study(file, tune, _configured(problem, tune.search))
            try:
                with TrialPool(fn_args_lib.to_json(fn_args), tune.parallel) as pool:
                    _search(study, tune, pool, directory, fixed, keep)
                trials, best = study.trials(), study.best()
            finally:
                study.close()
        if best is None:
            raise StepError(_nothing_complete(trials))
        # Trial 0 is the configuration itself, which leaves nothing to replace.
        values = best.values if best.number else {}
        _write(output_dict[BEST], BEST_FILE, {"values": values})
        results = {
            "tune": dataclasses.asdict(tune),
            "best": best.number,
            "trials": [dataclasses.asdict(trial) for trial in trials],
        }
        _write(output_dict[RESULTS], TRIALS_FILE, results)


def _search(
    study,
    tune: TuneSettings,
    pool: TrialPool,
    directory: epath.Path,
    fixed: Mapping[str, Any],
    keep: Callable[[], None],
) -> None:
    """Runs trials until there are enough; saves the study after every message from a trial."""
    _report_progress(study, tune)
    while True:
        while pool.has_room and (assignment := study.next()):
            process = pool.idle_process()
            process.trial = assignment.number
            process.send(
                {
                    "directory": str(directory / f"trial-{assignment.number}"),
                    "values": {**fixed, **assignment.values},
                }
            )
        if not pool.is_busy:
            return
        for process, message in pool.messages():
            trial_number = process.trial
            if message is None:
                how = pool.end(process)
                study.fail(trial_number, f"its process ended with {how}; is there enough memory?")
            is_end = message is None or _is_end(study, process, message)
            keep()
            if not is_end:
                continue
            process.trial = None
            _keep_summaries(directory / f"trial-{trial_number}")
            _report_progress(study, tune)


def _is_end(study, process: TrialProcess, message: Mapping[str, Any]) -> bool:
    """Records a message about a trial; returns whether the trial has ended."""
    trial_number = process.trial
    study.spent(trial_number, message["seconds"])
    if message["event"] == "evaluation":
        process.send(
            study.report(trial_number, message["step"], message["metrics"], message["is_last"])
        )
        return False
    if message["event"] == "complete":
        study.complete(trial_number, message["metrics"])
    elif message["event"] == "pruned":
        study.prune(trial_number)
    else:
        study.fail(trial_number, message["error"])
    return True


def _report_progress(study, tune: TuneSettings) -> None:
    best = study.best()
    ended = sum(trial.state in ("complete", "pruned", "failed") for trial in study.trials())
    text = f"{ended}/{tune.trials} trials"
    if best:
        value = best.value
        shown = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"
        text += f", best {tune.metric} {shown}"
    logging.info("Tuning: %s", text)
    observer.current().search_advanced(text)


def _configured(problem: Problem, keys: Iterable[str]) -> dict[str, Any]:
    """Returns the problem's values of the searched keys, where known."""
    model = problem.settings.model
    params = registry.parameters(model.name, model.params, problem.context())
    settings = dataclasses.replace(problem.settings, model=Model(model.name, params))
    values = {key: settings.value(key) for key in keys}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }


def _fingerprint(problem: Problem, tune: TuneSettings, code: str) -> str:
    determining = dataclasses.asdict(dataclasses.replace(tune, trials=0, parallel=0))
    text = json.dumps([problem.fingerprint(), determining, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep_summaries(directory: epath.Path) -> None:
    """Removes everything but the summaries from the directory of a trial that has ended."""
    for folder, _, names in list(directory.walk()):
        for name in names:
            if not name.startswith("events.out.tfevents"):
                (folder / name).unlink()


def _nothing_complete(trials: Sequence["Trial"]) -> str:
    first = next((trial for trial in trials if trial.error), None)
    text = f"none of {len(trials)} trials was completed"
    return f"{text}; trial {first.number}: {first.error}" if first else text


def _write(artifacts, name: str, content: Any) -> None:
    path = epath.Path(artifact_utils.get_single_uri(artifacts)) / name
    path.write_text(json.dumps(content, indent=2))
