"""Pushes the blessed model as a new version of the serving directory.

Inputs and outputs are those of `tfx.components.Pusher`.
"""

from tfx.components.pusher import component
from tfx.dsl.components.base import executor_spec

from components.pusher import executor


class Pusher(component.Pusher):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
