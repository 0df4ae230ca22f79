"""TFX's Evaluator, with gates against a constant predictor and a verdict in sentences."""

from components.evaluator.component import Evaluator

__all__ = ["Evaluator"]
