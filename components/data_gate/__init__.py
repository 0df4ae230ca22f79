"""Stops the pipeline when ExampleValidator found anomalies, which by itself only records them."""

from components.data_gate.component import DataGate

__all__ = ["DataGate"]
