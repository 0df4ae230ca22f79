"""A driver that keeps the Pusher out of the cache, since the served model may have changed."""

import time

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.proto.orchestration import driver_output_pb2

ASKED_AT = "asked_at"


class Driver(base_driver.BaseDriver, portable_driver.BaseDriver):
    """See the module."""

    def __init__(self, metadata_handle):
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info) -> driver_output_pb2.DriverOutput:
        """Adds the time to the execution's parameters, so that no two executions are the same."""
        result = driver_output_pb2.DriverOutput()
        now = str(time.time_ns())
        data_types_utils.set_metadata_value(result.exec_properties[ASKED_AT], now)
        return result
