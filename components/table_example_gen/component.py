"""An ExampleGen for tables in CSV, Parquet or TFRecord files of `tf.Example`.

Inputs, outputs, spans, versions and splits are the same as in TFX's `FileBasedExampleGen`. The
driver compares the contents of files instead of their modification times, see `driver`. Beside the
splits, the output folder holds a report of what was read (`ingestion.json`) and the rows that could
not be read (`quarantine/`).
"""

from typing import Any

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2

from components.table_example_gen import driver, executor
from components.table_example_gen.options import Options


class TableExampleGen(component.FileBasedExampleGen):
    """See the module."""

    DRIVER_CLASS = driver.Driver
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        input_base: Any,
        options: Options,
        input_config: example_gen_pb2.Input | None = None,
        output_config: example_gen_pb2.Output | None = None,
        range_config: range_config_pb2.RangeConfig | None = None,
    ):
        super().__init__(
            input_base=input_base,
            input_config=input_config,
            output_config=output_config,
            range_config=range_config,
            custom_config=options.pack(),
        )
