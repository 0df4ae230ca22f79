"""Steps per second of the Estimator, compared with Keras and a bare loop over the same network.

    make run
    python benchmarks/throughput.py

All ways train the network of `models.zoo.tabm` on the transformed examples of a finished run, with
the same batches, input pipeline and optimizer (AdamW, clipped gradients, a cosine schedule):

- `estimator`: `tf.estimator.Estimator.train` with the `model_fn`;
- `keras fit`: `tf.keras.Model.fit`;
- `tf.function loop`: a Python loop that calls a `tf.function` of one step;
- `keras fit, 50 steps a call` and `tf.function, 50 steps a call`: the same without Python between
  the steps, where no summary, hook or checkpoint could intervene.

Each measurement runs in a separate process, in alternating order, and is printed. Prints a table of
medians, with the Estimator's speed relative to each way, and writes
`benchmarks/results/throughput.json`.
"""

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import rich
import rich.table

from benchmarks import record
from benchmarks.transformed import finished_problem

RESULTS = pathlib.Path(__file__).with_name("results") / "throughput.json"
ESTIMATOR = "estimator"
FIT, LOOP = "keras fit", "tf.function loop"
MANY = 50


def estimator(problem, context, warm_up: int, steps: int) -> float:
    from models import estimator_api
    from models.training import fitting

    class Clock(estimator_api.SessionRunHook):
        count, began, ended = 0, 0.0, 0.0

        def after_run(self, run_context, run_values):
            self.count += 1
            if self.count == warm_up:
                self.began = time.perf_counter()
            elif self.count == warm_up + steps:
                self.ended = time.perf_counter()

    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        trained = fitting.make_estimator(problem, context, pathlib.Path(directory))
        trained.train(problem.train_input(context.rows), hooks=[clock], steps=warm_up + steps)
    return steps / (clock.ended - clock.began)


def _network(problem, context):
    from models.toolbox import heads, networks
    from models.toolbox.params import parse_params
    from models.zoo import tabm

    settings = parse_params(tabm.Params, problem.settings.model.params)
    head = heads.for_labels(context.labels)
    network = networks.TabM(
        outputs=head.logits_dimension,
        vocabulary_sizes=context.vocabulary_sizes,
        members=settings.members,
        hidden=settings.hidden,
        embedding=settings.embedding,
        dropout=tabm.dropout(settings, context),
        seed=problem.settings.train.seed,
    )
    return network, head, settings


def _optimizer(context, settings):
    import tensorflow as tf

    from models.zoo import tabm

    rate = tabm.learning_rate(settings, context)
    return tf.keras.optimizers.AdamW(
        tf.keras.optimizers.schedules.CosineDecay(rate, context.max_steps),
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )


def keras_fit(problem, context, warm_up: int, steps: int, steps_per_call: int = 1) -> float:
    import tensorflow as tf

    from models.estimator_api import ModeKeys

    network, head, settings = _network(problem, context)

    class Model(tf.keras.Model):
        def call(self, features, training=None):
            return network(features, training=training)

    model = Model()
    model.network = network
    model.compile(
        _optimizer(context, settings),
        loss=lambda labels, logits: head.loss(
            tf.reshape(labels, [-1]), logits, mode=ModeKeys.TRAIN
        ),
        steps_per_execution=steps_per_call,
    )
    data = problem.train_input(context.rows)()
    model.fit(data, steps_per_epoch=warm_up, verbose=0)
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0)
    return steps / (time.perf_counter() - began)


def function_loop(problem, context, warm_up: int, steps: int, steps_per_call: int = 1) -> float:
    import tensorflow as tf

    from models.estimator_api import ModeKeys

    network, head, settings = _network(problem, context)
    optimizer = _optimizer(context, settings)
    iterator = iter(problem.train_input(context.rows)())

    @tf.function
    def step(iterator):
        for _ in tf.range(steps_per_call):
            features, labels = next(iterator)
            with tf.GradientTape() as tape:
                loss = head.loss(labels, network(features, training=True), mode=ModeKeys.TRAIN)
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))

    # Variables must be created before the `tf.function`, which cannot create them in a loop.
    features, _ = next(iterator)
    network(features, training=True)
    optimizer.build(network.trainable_variables)
    for _ in range(warm_up // steps_per_call):
        step(iterator)
    began = time.perf_counter()
    for _ in range(steps // steps_per_call):
        step(iterator)
    return steps / (time.perf_counter() - began)


WAYS: dict[str, Callable[..., float]] = {
    ESTIMATOR: estimator,
    FIT: keras_fit,
    LOOP: function_loop,
    f"{FIT}, {MANY} steps a call": functools.partial(keras_fit, steps_per_call=MANY),
    f"tf.function, {MANY} steps a call": functools.partial(function_loop, steps_per_call=MANY),
}


def measured(way: str, args: argparse.Namespace) -> float:
    """Measures the steps per second of one way, in a separate process."""
    command = [sys.executable, __file__, "--way", way, "--steps", str(args.steps)]
    command += ["--config", str(args.config)]
    command += ["--workspace", str(args.workspace)] if args.workspace else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="data/king_county/pipeline.yaml", type=pathlib.Path)
    parser.add_argument("--workspace", type=pathlib.Path, help="workspace of a finished run")
    parser.add_argument("--steps", type=int, default=500, help="steps to measure")
    parser.add_argument("--repetitions", type=int, default=5, help="trainings of each kind")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        problem = finished_problem(args.config, args.workspace)
        print(WAYS[args.way](problem, problem.context(), 100, args.steps))
        return

    raw: dict[str, list[float]] = {way: [] for way in WAYS}
    for repetition in range(args.repetitions):
        # The order alternates, so that a machine that slows down favours no way.
        for way in list(WAYS)[:: 1 if repetition % 2 == 0 else -1]:
            raw[way].append(round(measured(way, args), 1))
            print(f"{repetition + 1}/{args.repetitions} {way}: {raw[way][-1]} steps/s", flush=True)
    rows: list[dict[str, Any]] = [
        {
            "way": way,
            "steps_per_second": statistics.median(values),
            # Paired: ratios of measurements made in the same repetition.
            "estimator_ratio": round(
                statistics.median(ours / value for ours, value in zip(raw[ESTIMATOR], values)), 3
            ),
        }
        for way, values in raw.items()
    ]
    table = rich.table.Table("way", "steps/s", "estimator / way")
    for row in rows:
        table.add_row(row["way"], f"{row['steps_per_second']:.0f}", f"{row['estimator_ratio']:.2f}")
    rich.print(table)
    record.write(RESULTS, rows, repetitions=raw)


if __name__ == "__main__":
    main()
