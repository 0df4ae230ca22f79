"""Distributed training of an Estimator: `train.cluster` in the configuration.

Several processes, one task each: `layout` defines the tasks and their addresses. `supervisor`
starts a `task_process` for each on this machine, watches them, restarts those that die or hang, and
ends them all; `launchers` says where they run; `balance` keeps them in step. The program of a task
is `models.programs.cluster_task`. One process on several devices: `mirrored`.

docs/distributed.md is for users.
"""
