"""TFX's executor, with our reader of examples and a merge of results in one step."""

import contextlib
from collections.abc import Iterator

import apache_beam as beam
from tfx.components.statistics_gen import executor

from components.example_io import beam_io


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the statistics of each split."""
        with beam_io.in_batches(), _without_fanout():
            super().Do(input_dict, output_dict, exec_properties)


@contextlib.contextmanager
def _without_fanout() -> Iterator[None]:
    """Context manager: inside it, Beam merges results in one step (there is no option for it).

    TFDV spreads the results of a split over 128 keys and merges them twice, which pays off when
    every example is an element. Our reader yields a few thousand at a time, so there are few
    results, and those of a wide table take longer to pickle than to merge.
    """
    kept = beam.CombinePerKey.with_hot_key_fanout
    setattr(beam.CombinePerKey, "with_hot_key_fanout", lambda combine, fanout: combine)  # noqa: B010
    try:
        yield
    finally:
        setattr(beam.CombinePerKey, "with_hot_key_fanout", kept)  # noqa: B010
