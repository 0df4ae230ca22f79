"""One-line errors for a user's model: the line in their file, the reason, and how to fix it.

TensorFlow builds a graph first and runs it later, so the traceback of an error that a line of a
`model_fn` causes may not contain that line. But TensorFlow remembers where each operation was
created, and says so in the middle of its message.
"""

import contextlib
import os
import pathlib
import re
import traceback
from collections.abc import Iterator, Sequence

import tensorflow as tf

from models.errors import StepError

_LENGTH = 200
"""Maximum length of a reason in characters: a node's definition alone may have thousands."""
_MADE_AT = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_NODES = re.compile(r"\s*\[\[\{\{node .*?\}\}\]\]|\s*\[Op:\w+\]")
_NO_REASON = re.compile(
    r"^(Graph execution error:|Detected at node|Node: '|File \"|Exception encountered when calling"
    r"|in user code:|\d+ root error\(s\) found|Original stack trace|Traceback |Errors may have"
    r"|Call arguments received|\^|\s)"
)
_ROOT_ERROR = re.compile(r"^\s*\(\d+\) [A-Z_ ]+:\s*")
_MISSING_KEY = re.compile(r"Key \S+ not found in checkpoint")
_FULL_DISK = re.compile("No space left on device|Disk quota exceeded")
_TRANSIENT = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)

_OF_ESTIMATOR = ("estimator.py", "model_fn.py", "basic_session_run_hooks.py")
"""TensorFlow's files whose errors are about what a model_fn returned."""

_PROJECT = pathlib.Path(__file__).absolute().parents[2]
_PACKAGES = ("components", "models", "pipeline")

COUNT = (
    "write optimizer.minimize(loss, global_step=tf.compat.v1.train.get_or_create_global_step()), "
    "or of a legacy Keras optimizer set optimizer.iterations to that step before get_updates"
)
"""Hint: how a train op increments the global step."""
LEGACY = (
    "write optimizer = tf.keras.optimizers.legacy.Adam(...), optimizer.iterations = "
    "tf.compat.v1.train.get_or_create_global_step(), and train_op = "
    "tf.group(*optimizer.get_updates(loss, tf.compat.v1.trainable_variables()))"
)
"""Hint: how a Keras optimizer trains in a graph."""

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"Missing train_op",
        "return EstimatorSpec(mode, loss=loss, train_op=...) in training; " + COUNT,
    ),
    (
        r"train_op must be Operation or Tensor",
        "the train op is what minimize(...) returns; " + COUNT,
    ),
    (r"Missing loss", "return EstimatorSpec(mode, loss=loss, ...) in training and evaluation"),
    (
        r"NaN loss",
        "lower the learning rate, clip the gradients, and look for logarithms, roots and quotients "
        "of what may be zero or below",
    ),
    (r"Invalid type .* expected: \[tf.float32", "the loss has to be a float, as labels are"),
    (
        r"Loss must be scalar|Input to reshape is a tensor with \d+ values, but the requested "
        r"shape has 1$",
        "the loss has to be one number: write loss = tf.reduce_mean(losses)",
    ),
    (r"Missing predictions", "return EstimatorSpec(mode, predictions=...) when serving"),
    (
        r"export_outputs must be (defined|specified)",
        "when serving return EstimatorSpec(mode, predictions=predictions, "
        "export_outputs=heads.export_outputs(predictions))",
    ),
    (r"`?tape`? is required when", LEGACY),
    (
        r"No gradients provided for any variable",
        "the loss does not depend on the trainable variables: it has to be a float that is made "
        "from them without rounding, comparing, tf.stop_gradient, NumPy or Python functions",
    ),
    (
        r"symbolic .?tf.Tensor.? (is not allowed|to a numpy array)|as a Python .?bool.? is not "
        r"allowed|NumPy call, which is not supported|has no attribute 'numpy'",
        "a model_fn builds a graph, in which tensors have no values yet: use operations of tf, as "
        "tf.cond, tf.where and tf.reduce_mean, in place of Python's and NumPy's",
    ),
    (
        r"Attempting to capture an EagerTensor|tf\.function-decorated function tried to create "
        r"variables",
        "make layers and variables once, outside of the function",
    ),
    (
        r"eval_metric_ops|Values of eval_metric_ops must be",
        "each metric is a Keras metric, or the pair (value, update) of tf.compat.v1.metrics",
    ),
    (
        r"must be from the same graph|is not an element of this graph|is not from the",
        "make everything anew in each call of the model_fn; it is called once for each graph",
    ),
    (
        r"not found in checkpoint",
        "the graphs of training, evaluation and serving must have the same variables: make the "
        "network in the same way whatever the mode",
    ),
    (
        r"Assign requires shapes of both tensors to match|does not match the shape stored in "
        r"checkpoint|lhs shape= ?\[.*rhs shape",
        "a variable has another shape than in training: make the network in the same way whatever "
        "the mode",
    ),
    (
        r"FailedPrecondition|Attempting to use uninitialized value|does not exist|"
        r"was never initialized|Could not find variable",
        "make variables by layers or tf.compat.v1.get_variable inside the model_fn, in the default "
        "collections",
    ),
    (
        r"NoneType",
        "if it is the labels: they are None when serving, so return the predictions before",
    ),
    (
        r"[Ii]ncompatible shapes|[Dd]imensions must be equal|must be compatible|must have the same "
        r"shape|are incompatible|[Ss]hapes? .* (not|in)compatible",
        "if it is the labels: they are [batch], and a Dense(1) gives [batch, 1]; write value[:, 0]",
    ),
    (
        r"must have the same type|has type \w+ that does not match|[Tt]ensor conversion requested"
        r"|Expected \w+, but got|passed to parameter 'y' .* incompatible|not in (the )?list of "
        r"allowed",
        "labels are float32 (regression) or text (classes); tf.cast converts numbers, and "
        'heads.for_labels(params["context"].labels) knows the classes',
    ),
)
"""Pairs of a pattern of an error's text and a hint; the first matching pattern applies."""


_Frame = tuple[str, int | None, str]


class ModelError(StepError):
    """A mistake in a user's model; its text is one line."""


@contextlib.contextmanager
def located(folders: Sequence[pathlib.Path]) -> Iterator[None]:
    """Context manager: errors from a user's files are raised as one line that names the place.

    Args:
        folders: folders of the user's files; if empty, errors pass unchanged.

    Raises:
        ModelError: instead of an error that is related to those files, or of `sys.exit`.
    """
    try:
        yield
    except ModelError:
        raise
    except SystemExit as error:
        if not folders:
            raise
        where = place(error, folders)
        raise ModelError(
            f"{where + ': ' if where else ''}sys.exit({error.code!r}) would end the run before its "
            "verdict; raise an exception that says what is wrong"
        ) from error
    except Exception as error:
        line = explain(error, folders) if folders else None
        if line is None:
            raise
        raise ModelError(line) from error


def explain(error: BaseException, folders: Sequence[pathlib.Path]) -> str | None:
    """Explains an error in one line.

    Args:
        error: the error as raised, with its traceback.
        folders: folders of the user's files.

    Returns:
        The place if known, the error's type and reason, and a hint if there is one. None if the
        error is transient, is about a full disk, or comes from elsewhere: neither from the user's
        files nor from TensorFlow.
    """
    if isinstance(error, _TRANSIENT) or _FULL_DISK.search(str(error)):
        return None
    where = place(error, folders)
    if not where and not isinstance(error, tf.errors.OpError) and not _is_of_estimator(error):
        return None
    text = f"{type(error).__name__}: {reason(error)}"
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")
    return f"{where + ': ' if where else ''}{text}{'; ' + hint if hint else ''}"


def place(error: BaseException, folders: Sequence[pathlib.Path]) -> str:
    """Returns the last line of the user's files behind an error: `my_model.py:12, in model_fn`.

    Returns an empty text if there is no such line.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename and _is_below(cause.filename, folders):
            return f"{shown(cause.filename)}:{cause.lineno}"
        through = [
            (frame.filename, frame.lineno, frame.name)
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
        # Where the operation was created says more than where the session was run.
        for frames in (_said(cause), _frames_of(getattr(cause, "op", None)), through):
            if location := _last(frames, folders):
                return location
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ""


def made_at(op: tf.Operation, folders: Sequence[pathlib.Path]) -> str:
    """Returns the line of the user's files that created an operation, or an empty text."""
    return _last(_frames_of(op), folders)


def _said(error: BaseException) -> list[_Frame]:
    """Returns the frames in the text of a TensorFlow error."""
    if not isinstance(error, tf.errors.OpError):
        return []
    return [(file, int(line), name) for file, line, name in _MADE_AT.findall(str(error))]


def _frames_of(op: tf.Operation | None) -> list[_Frame]:
    return [(frame.filename, frame.lineno, frame.name) for frame in getattr(op, "traceback", ())]


def _last(frames: Sequence[_Frame], folders: Sequence[pathlib.Path]) -> str:
    user_frames = [frame for frame in frames if _is_below(frame[0], folders)]
    if not user_frames:
        return ""
    file, line, function = user_frames[-1]
    return f"{shown(file)}:{line}" + ("" if function == "<module>" else f", in {function}")


def reason(error: BaseException) -> str:
    """Returns an error's own message in one line, without node definitions and stack traces."""
    if isinstance(error, SyntaxError):
        text = error.msg
    else:
        text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if missing := _MISSING_KEY.search(text):
        return missing[0]
    lines = text.strip().splitlines()
    cleaned = [_NODES.sub("", _ROOT_ERROR.sub("", line)) for line in lines]
    # TensorFlow's text says where the operation was created before it says what is wrong.
    at = max(
        (index for index, line in enumerate(cleaned) if line.startswith("Node: '")), default=-1
    )
    useful = [line.strip() for line in cleaned[at + 1 :] if line and not _NO_REASON.match(line)]
    indented = [
        line.strip() for line in cleaned if re.match(r"\s+\w*(Error|Exception)\b.*: ", line)
    ]
    message = next(iter([*indented, *useful]), "") or next(iter(lines), "")
    message = message.partition(", check your graph for ops")[0].rstrip(".")
    return message if len(message) <= _LENGTH else f"{message[:_LENGTH]}…"


def _is_of_estimator(error: BaseException) -> bool:
    """Returns whether the Estimator rejected what a model_fn returned."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and os.path.basename(frames[-1].filename) in _OF_ESTIMATOR


def _is_below(file: str, folders: Sequence[pathlib.Path]) -> bool:
    path = pathlib.Path(file)
    if "site-packages" in path.parts or _is_ours(path) and not any(map(_is_ours, folders)):
        return False
    return any(path.is_relative_to(folder) for folder in folders)


def _is_ours(path: pathlib.Path) -> bool:
    """Returns whether a path is in this project's packages; user files may lie beside them."""
    return any(path.is_relative_to(_PROJECT / name) for name in _PACKAGES)


def shown(file: str) -> str:
    """Returns the path of a file as the user would type it."""
    cwd = pathlib.Path.cwd()
    path = pathlib.Path(file)
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)
