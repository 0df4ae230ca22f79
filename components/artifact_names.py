"""Names in the artifacts of our components, for readers that do not import TFX."""

VERDICT_FILE = "verdict.json"
"""The verdict in the Evaluator's `evaluation`."""
UNCHANGED = "unchanged"
"""The property of the Pusher's `pushed_model` that says whether it was deployed before the run."""
KEPT_BACK = "kept_back"
"""The property of `pushed_model` that says why a blessed model was not pushed."""
