"""The `train.cluster` section of a configuration: what trains together, and its care."""

from typing import Any

import pydantic

from pipeline.fields import Count, Natural, Section, refuse


class Cluster(Section):
    """Trains on many processes, each of which does one task; the `model_fn` stays as it is.

    Or, with `mirrored` and nothing beside it, in one process on many devices.

    Attributes:
        workers: how many train beside the chief, each on rows of its own.
        parameter_servers: how many hold the variables.
        evaluator: whether evaluation is a task of its own; otherwise the chief's, which then trains
            nothing meanwhile.
        max_restarts: how often tasks that died or hung are started again, all of them together.
        hang_seconds: a task that makes no step for so long hangs.
        mirrored: how many replicas, each on a device of its own, share the batch of each step.
    """

    workers: Count = 1
    parameter_servers: Count = 1
    evaluator: pydantic.StrictBool = True
    max_restarts: Natural = 10
    hang_seconds: Count = 300
    mirrored: Count | None = None

    @pydantic.root_validator(pre=True)
    def _one_kind(cls, values):
        of_processes = [key for key in values if key in cls.__fields__ and key != "mirrored"]
        if values.get("mirrored") is not None and of_processes:
            message = (
                f"found beside {', '.join(of_processes)}, which is for many processes, expected it "
                "alone, as {mirrored: 2}; remove the one or the other"
            )
            refuse([(("mirrored",), message)])
        return values

    @pydantic.validator("mirrored")
    def _more_than_one(cls, value):
        if value == 1:
            raise ValueError("found 1, expected 2 or more replicas; without it there is one")
        return value

    def dict(self, **options: Any) -> dict[str, Any]:
        """The tasks and their care, or `mirrored`: what the other kind would be is not there."""
        values = super().dict(**options)
        mirrored = values.pop("mirrored", None)
        return values if mirrored is None else {"mirrored": mirrored}
