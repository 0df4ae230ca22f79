"""TFX's Evaluator, with gates against a constant predictor and a verdict in sentences.

This module imports nothing: the configuration reads the catalogue of metrics in the package, and
must not wait for TFX.
"""
