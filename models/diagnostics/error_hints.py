"""What to do about errors that mistakes in a user's model commonly cause."""

import re

COUNT = (
    "write optimizer.minimize(loss, global_step=tf.compat.v1.train.get_or_create_global_step()), "
    "or set a legacy Keras optimizer's iterations to that step before get_updates"
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
        "of values that may be zero or negative",
    ),
    (r"Invalid type .* expected: \[tf.float32", "the loss has to be a float, like the labels"),
    (
        r"Loss must be scalar|Input to reshape is a tensor with \d+ values, but the requested "
        r"shape has 1$",
        "the loss has to be a single number; write loss = tf.reduce_mean(losses)",
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
        "the loss does not depend on the trainable variables: it has to be a float computed "
        "from them without rounding, comparing, tf.stop_gradient, NumPy or Python functions",
    ),
    (
        r"symbolic .?tf.Tensor.? (is not allowed|to a numpy array)|as a Python .?bool.? is not "
        r"allowed|NumPy call, which is not supported|has no attribute 'numpy'",
        "a model_fn builds a graph, in which tensors have no values yet: use TensorFlow's "
        "operations, such as tf.cond, tf.where and tf.reduce_mean, instead of Python's and NumPy's",
    ),
    (
        r"Attempting to capture an EagerTensor|tf\.function-decorated function tried to create "
        r"variables",
        "create layers and variables once, outside the function",
    ),
    (
        r"eval_metric_ops|Values of eval_metric_ops must be",
        "each metric is a Keras metric, or the pair (value, update) of tf.compat.v1.metrics",
    ),
    (
        r"must be from the same graph|is not an element of this graph|is not from the",
        "create everything inside the model_fn, which is called once for each graph",
    ),
    (
        r"not found in checkpoint",
        "the graphs of training, evaluation and serving must have the same variables: build the "
        "network the same way in every mode",
    ),
    (
        r"Assign requires shapes of both tensors to match|does not match the shape stored in "
        r"checkpoint|lhs shape= ?\[.*rhs shape",
        "a variable's shape differs from training: build the network the same way in every mode",
    ),
    (
        r"FailedPrecondition|Attempting to use uninitialized value|does not exist|"
        r"was never initialized|Could not find variable",
        "create variables with layers or tf.compat.v1.get_variable inside the model_fn, in the "
        "default collections",
    ),
    (
        r"NoneType",
        "if this is about labels: they are None when serving, so return the predictions before you "
        "use them",
    ),
    (
        r"[Ii]ncompatible shapes|[Dd]imensions must be equal|must be compatible|must have the same "
        r"shape|are incompatible|[Ss]hapes? .* (not|in)compatible",
        "if this is about labels: they are [batch], and a Dense(1) gives [batch, 1]; write "
        "value[:, 0]",
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


def hint(text: str) -> str:
    """Returns the hint about an error with this text, or an empty text."""
    return next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")
