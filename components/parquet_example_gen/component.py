"""An ExampleGen for Parquet files.

Output and parameters are those of `tfx.components.example_gen.component.FileBasedExampleGen`, which
with TFX's own Parquet executor loses zeros: its `dict_to_example` takes what Python holds for false
(0, 0.0, False) for missing.
"""

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec

from components.parquet_example_gen import executor


class ParquetExampleGen(component.FileBasedExampleGen):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
