"""Compiled Keras models as Estimators."""
