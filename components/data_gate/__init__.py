"""A gate that stops the pipeline on anomalies, which ExampleValidator itself only records."""

from components.data_gate.component import DataGate
from components.data_gate.executor import AnomaliesFound

__all__ = ["AnomaliesFound", "DataGate"]
