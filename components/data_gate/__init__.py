"""Stops the pipeline when ExampleValidator found anomalies, which by itself only records them."""

from components.data_gate.component import DataGate
from components.data_gate.executor import AnomaliesFound

__all__ = ["AnomaliesFound", "DataGate"]
