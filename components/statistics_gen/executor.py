"""Does what TFX's executor does, with our reader of examples."""

from tfx.components.statistics_gen import executor

from components.examples import beam_io


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the statistics of each split."""
        with beam_io.in_batches():
            super().Do(input_dict, output_dict, exec_properties)
