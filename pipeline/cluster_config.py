"""The `train.cluster` section of a configuration: the tasks that train together, and their care."""

import pydantic

from pipeline.fields import Count, Natural, Section, refuse


class Cluster(Section):
    """Trains on many processes, each of which does one task; the `model_fn` stays as it is.

    Attributes:
        workers: how many train beside the chief, each on rows of its own.
        parameter_servers: how many hold the variables.
        evaluator: whether evaluation is a task of its own; otherwise the chief's, which then trains
            nothing meanwhile.
        max_restarts: how often tasks that died or hung are started again, all of them together.
        hang_seconds: a task that makes no step for so long hangs.
    """

    workers: Count = 1
    parameter_servers: Count = 1
    evaluator: pydantic.StrictBool = True
    max_restarts: Natural = 10
    hang_seconds: Count = 300

    @pydantic.root_validator(pre=True)
    def _not_mirrored(cls, values):
        if "mirrored" in values:
            message = "not supported; use workers and parameter_servers, as {workers: 2}"
            refuse([(("mirrored",), message)])
        return values
