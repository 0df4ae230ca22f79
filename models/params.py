"""Former name of `models.toolbox.params`, which a user's `model_fn` may still import."""

from models.toolbox.params import Count, NotNegative, Positive, Share, parse_params

__all__ = ["Count", "NotNegative", "Positive", "Share", "parse_params"]
