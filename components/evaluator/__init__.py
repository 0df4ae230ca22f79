"""TFX's Evaluator, with gates against a constant predictor and a verdict in sentences.

The package imports nothing, because a configuration reads the catalogue of metrics in it and must
not wait for TFX.
"""
