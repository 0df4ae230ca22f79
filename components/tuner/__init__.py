"""A hyperparameter search with Optuna, whose trials train the Estimator."""

from components.tuner.component import Tuner

__all__ = ["Tuner"]
