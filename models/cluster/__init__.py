"""Training of an Estimator by several processes of this machine; see docs/distributed.md.

`layout` defines the tasks and their addresses. `supervisor` starts a `task_process` for each,
watches them, restarts those that die or hang, and ends them all; `launchers` says where they run.
The program of a task is `models.programs.cluster_task`.
"""
