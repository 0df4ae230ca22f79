"""Searches hyperparameters by training the Estimator with them, with Optuna."""

from components.tuner.component import Tuner

__all__ = ["Tuner"]
