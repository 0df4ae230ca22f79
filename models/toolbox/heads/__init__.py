"""Heads, which define a label's targets and turn logits into its loss, metrics and outputs.

They are `tf.estimator.Head`s, so premade estimators accept them in place of TensorFlow's own, and a
`model_fn` ends with `head.create_estimator_spec(...)`. Unlike TensorFlow's heads, they predict in
the label's own units and accept the logits of an ensemble: see `Head`.
"""

from models.toolbox.heads.classification import ClassificationHead
from models.toolbox.heads.head import Head
from models.toolbox.heads.multi import MultiHead, for_label, for_labels
from models.toolbox.heads.outputs import (
    CLASSES,
    LOGISTIC,
    LOWER,
    PREDICTIONS,
    PROBABILITIES,
    UPPER,
    Outputs,
    export_outputs,
    prefixes,
    scored_outputs,
)
from models.toolbox.heads.regression import RegressionHead
