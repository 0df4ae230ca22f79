"""Checks of the graph that a user's `model_fn` builds, for mistakes that fail late or silently."""

import contextlib
import inspect
import pathlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.diagnostics import error_hints, source_lines
from models.diagnostics.model_errors import ModelError
from models.distributed import mirrored
from models.estimator_api import ModeKeys
from models.features.label import Label
from models.progress.training_progress import EventCallback
from models.toolbox import heads

_NOTES = "notes_of_the_model"
"""Graph collection of texts that the user should read."""
_PASS_ON = {"Identity", "Switch", "RefSwitch", "Enter", "RefEnter", "Merge", "RefMerge"}
_READ = _PASS_ON | {
    "DestroyResourceOp",
    "ReadVariableOp",
    "ResourceGather",
    "ResourceGatherNd",
    "VarIsInitializedOp",
    "VariableShape",
}
"""Types of operations that do not change their input variable."""
_DIFFERENCES = ("SquaredDifference", "Sub")
_AVERAGES = ("moving_mean", "moving_variance")


def checked(function: Callable[..., Any], label: Label) -> Callable[..., Any]:
    """Wraps a `model_fn` so that its result is checked in each mode.

    Args:
        function: the user's `model_fn`.
        label: the label that the Evaluator judges.

    Raises (when the result is called):
        ModelError: the `model_fn` does not return an `EstimatorSpec`, its predictions do not fit
            the label's task, or its train op does not increment the global step or changes no
            trainable variable.
    """
    name, folder = _definition(function)

    # The Estimator inspects the argument names.
    def model_fn(features, labels, mode, params, config):
        with _listening_for_summaries() as dropped:
            spec = function(_Features(features), labels, mode, params, config)
        if not isinstance(spec, estimator_api.EstimatorSpec):
            raise ModelError(
                f"{name}: returned {_with_article(spec)} in mode {mode}, expected an "
                "EstimatorSpec; end each mode with return EstimatorSpec(mode, ...)"
            )
        if mode == ModeKeys.PREDICT:
            _check_outputs(name, spec, label)
        if mode == ModeKeys.TRAIN and mirrored.count() == 1:
            _check_train_op(name, spec, folder)
            for used in dropped[:1]:
                instead = used.replace("tf.", "tf.compat.v1.")
                _add_note(f"{name}: {used} writes nothing here; use {instead}")
        return spec

    return model_fn


def check_serving(estimator, receiver: Callable[[], Any]) -> None:
    """Builds the serving graph, so that mistakes in it are found before training.

    Args:
        estimator: an Estimator with a `checked` `model_fn`.
        receiver: builds the receiver of serving requests.

    Raises:
        ModelError: see `checked`.
    """
    # Keras draws initializer seeds from this generator, and the check must not change training.
    drawn = random.getstate()
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(estimator.config.tf_random_seed)
        features = receiver().features
        estimator.model_fn(features, None, ModeKeys.PREDICT, estimator.config)
    random.setstate(drawn)


def _definition(function: Callable[..., Any]) -> tuple[str, pathlib.Path]:
    """Returns where a model (a function or other callable) is defined, and its file's folder."""
    written = inspect.unwrap(function)
    if not inspect.isroutine(written):
        written = type(written).__call__
    file = inspect.getfile(written)
    try:
        line = f":{inspect.getsourcelines(written)[1]}"
    except OSError:  # the source is not available
        line = ""
    return f"{source_lines.shown(file)}{line}, in {written.__name__}", pathlib.Path(file).parent


class _Features(dict):
    """Features by name, whose error about a missing key lists the existing ones."""

    def __missing__(self, key):
        raise KeyError(f"features has no {key}; it has {', '.join(sorted(self))}")


class Notes(estimator_api.SessionRunHook):
    """Hook that reports the notes of `checked` on a training's graph as `note` events."""

    def __init__(self, on_event: EventCallback):
        self._on_event = on_event

    def begin(self):
        """Reports the notes once the graph is complete."""
        for text in tf.compat.v1.get_collection(_NOTES):
            self._on_event(event="note", text=text)


def _add_note(text: str) -> None:
    tf.compat.v1.add_to_collection(_NOTES, text)


def _with_article(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _check_outputs(name: str, spec, label: Label) -> None:
    """Checks that the signature `predict` has the output that the Evaluator scores."""
    key = heads.scored_outputs(label)[0]
    width = len(label.classes) if label.task == "multiclass" else 1
    write = f"predictions = {{{key!r}: ...}} of shape [batch, {width}]"
    exported = (spec.export_outputs or {}).get("predict")
    if exported is None:
        raise ModelError(
            f"{name}: no signature predict when serving; write {write} and return EstimatorSpec("
            "mode, predictions=predictions, export_outputs=heads.export_outputs(predictions))"
        )
    outputs = getattr(exported, "outputs", {})
    if key not in outputs:
        raise ModelError(
            f"{name}: predictions: found {', '.join(outputs) or 'none'}, expected {key} for the "
            f"{label.task} of {label.name}; write {write}"
        )
    output = outputs[key]
    if not output.shape.is_compatible_with([None, width]) or not output.dtype.is_floating:
        raise ModelError(
            f"{name}: predictions[{key!r}]: found {output.dtype.name} of shape "
            f"{_shape(output.shape)}, expected float32 of shape [batch, {width}]"
        )


def _shape(shape: tf.TensorShape) -> str:
    sizes = ["batch" if size is None else str(size) for size in shape]
    return f"[{', '.join(sizes)}]"


def _check_train_op(name: str, spec, folder: pathlib.Path) -> None:
    """Checks which variables the train op changes, and which shapes the loss compares."""
    graph = tf.compat.v1.get_default_graph()
    element = graph.as_graph_element(spec.train_op)
    changed = _changed(element if isinstance(element, tf.Operation) else element.op)
    step = tf.compat.v1.train.get_global_step()
    learned = tf.compat.v1.trainable_variables()
    # Training hooks may run ops that the train op does not.
    has_hooks = spec.training_hooks or spec.training_chief_hooks
    if learned and not any(_name(variable) in changed for variable in learned):
        mistake = (
            f"{name}: the train op changes none of the {len(learned)} trainable variables; "
            "tf.keras.optimizers, except legacy ones, return no operation that does: "
            f"{error_hints.LEGACY}"
        )
        if not has_hooks:
            raise ModelError(mistake)
        _add_note(mistake)
    if (step is None or _name(step) not in changed) and not has_hooks:
        raise ModelError(
            f"{name}: the train op does not increment the global step, so training would never "
            f"end; {error_hints.COUNT}"
        )
    for op in _needed_by(spec.loss.op):
        if op.type in _DIFFERENCES and _squares(*(tensor.shape for tensor in op.inputs)):
            where = source_lines.line_of_operation(op, [folder]) or name
            _add_note(
                f"{where}: [batch, 1] minus [batch] is [batch, batch], which compares each "
                "prediction with all labels; write value[:, 0] - labels"
            )
            break
    still = [
        _name(variable)
        for variable in tf.compat.v1.global_variables()
        if _name(variable).endswith(_AVERAGES) and _name(variable) not in changed
    ]
    if still:
        _add_note(
            f"{name}: nothing updates the moving averages of BatchNormalization ({still[0]}), so "
            "evaluation and serving use the initial ones; group the layers' updates with the train "
            "op, as in tf.group(train_op, *network.updates), or pass them to the head as update_ops"
        )


def _squares(left: tf.TensorShape, right: tf.TensorShape) -> bool:
    """Returns whether the shapes are [n, 1] and [n], which broadcast to [n, n]."""
    column, vector = (left, right) if left.rank == 2 else (right, left)
    if column.rank != 2 or vector.rank != 1:
        return False
    return column[1] == 1 and column[0] == vector[0] != 1


def _name(variable) -> str:
    handle = getattr(variable, "handle", None)
    return (variable if handle is None else handle).op.name


def _changed(train_op: tf.Operation) -> set[str]:
    """Returns the names of the variables that running an operation may change."""
    names: set[str] = set()
    for op in _needed_by(train_op):
        if op.type in _READ:
            continue
        for tensor in op.inputs:
            if tensor.dtype == tf.resource or tensor.dtype._is_ref_dtype:
                names.update(_sources(tensor.op))
    return names


def _needed_by(op: tf.Operation) -> Iterable[tf.Operation]:
    seen, waiting = {op}, [op]
    while waiting:
        needed = waiting.pop()
        yield needed
        for before in (*(tensor.op for tensor in needed.inputs), *needed.control_inputs):
            if before not in seen:
                seen.add(before)
                waiting.append(before)


def _sources(op: tf.Operation) -> Iterator[str]:
    """Yields the names of the variables behind a handle that conditions and loops pass on."""
    if op.type not in _PASS_ON:
        yield op.name
        return
    for tensor in op.inputs:
        if tensor.dtype == tf.resource or tensor.dtype._is_ref_dtype:
            yield from _sources(tensor.op)


@contextlib.contextmanager
def _listening_for_summaries() -> Iterator[list[str]]:
    """Context manager: lists the `tf.summary` functions called, which do nothing here."""
    dropped: list[str] = []
    kept = {name: getattr(tf.summary, name) for name in ("scalar", "histogram", "image", "text")}

    def listening(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args, **kwargs):
            dropped.append(f"tf.summary.{name}")
            return write(*args, **kwargs)

        return call

    for name, write in kept.items():
        setattr(tf.summary, name, listening(name, write))
    try:
        yield dropped
    finally:
        for name, write in kept.items():
            setattr(tf.summary, name, write)
