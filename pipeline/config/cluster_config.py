"""The `train.cluster` section of a configuration: the tasks or devices that train together."""

import pydantic

from pipeline.config.pydantic_types import Count, Natural, Section, refuse


class Cluster(Section):
    """A training cluster of several processes, one task each, or of several devices in one process.

    Neither needs changes to the `model_fn`. `mirrored` excludes all other keys.

    Attributes:
        workers: the number of worker tasks beside the chief, each training on its own rows.
        parameter_servers: the number of tasks that hold the variables.
        evaluator: whether a separate task evaluates; otherwise the chief does, and pauses its
            training meanwhile.
        max_restarts: how often all tasks are restarted because some died or hung.
        hang_seconds: a task counts as hung after this many seconds without a training step.
        mirrored: the number of replicas, one per device, that share the batch of each step.
    """

    workers: Count = 1
    parameter_servers: Count = 1
    evaluator: pydantic.StrictBool = True
    max_restarts: Natural = 10
    hang_seconds: Count = 300
    mirrored: Count | None = None

    def unequal_parts(self, batch_size: int) -> str:
        """Returns why the replicas cannot share a batch equally; empty if they can."""
        if not self.mirrored or not batch_size % self.mirrored:
            return ""
        return (
            f"found {batch_size}, expected a multiple of train.cluster.mirrored, {self.mirrored}: "
            "each replica gets an equal part of a batch"
        )

    @pydantic.root_validator(pre=True)
    def _one_kind(cls, values):
        of_processes = [key for key in values if key in cls.__fields__ and key != "mirrored"]
        if values.get("mirrored") is not None and of_processes:
            message = (
                f"found beside {', '.join(of_processes)}, for several processes; expected it "
                "alone, such as {mirrored: 2}"
            )
            refuse([(("mirrored",), message)])
        return values

    @pydantic.validator("mirrored")
    def _more_than_one(cls, value):
        if value == 1:
            raise ValueError("found 1, expected 2 or more replicas; leave it out for one")
        return value
