"""A driver that makes the served model part of the cache key."""

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.proto.orchestration import driver_output_pb2

from components.baseline import executor


class Driver(base_driver.BaseDriver, portable_driver.BaseDriver):
    """See the module."""

    def __init__(self, metadata_handle):
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info) -> driver_output_pb2.DriverOutput:
        """Adds the baseline to the parameters of the execution.

        Raises:
            BadRecord: see `components.deployments.read`.
        """
        baseline = executor.find(execution_info.input_dict, execution_info.exec_properties)
        result = driver_output_pb2.DriverOutput()
        data_types_utils.set_metadata_value(
            result.exec_properties[executor.BASELINE], baseline.to_json()
        )
        return result
