"""TFX's executor, with the schema added to `custom_config` and examples read in batches."""

import contextlib
import json
from collections.abc import Iterator, Sequence

import tensorflow_transform as tft
from google.protobuf import text_format
from tfx.components.transform import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.example_io import beam_io
from models.features import preprocessing


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Runs Transform with the schema in `custom_config`."""
        uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))
        custom = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        custom["schema"] = text_format.MessageToString(schema)
        properties = {
            **exec_properties,
            standard_component_specs.CUSTOM_CONFIG_KEY: json.dumps(custom),
        }
        with beam_io.in_batches(), _read_columns(preprocessing.columns_read(custom)):
            super().Do(input_dict, output_dict, properties)


@contextlib.contextmanager
def _read_columns(columns: Sequence[str]) -> Iterator[None]:
    """Context manager: TFX reads these columns.

    To find them out, it traces the `preprocessing_fn` three times, which takes seconds for a
    thousand columns.
    """
    names = ("get_analyze_input_columns", "get_transform_input_columns")
    kept = [getattr(tft, name) for name in names]
    for name in names:
        setattr(tft, name, lambda *_, **__: list(columns))
    try:
        yield
    finally:
        for name, theirs in zip(names, kept):
            setattr(tft, name, theirs)
