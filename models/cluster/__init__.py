"""Training of an Estimator by several processes of this machine; see docs/distributed.md.

`layout` defines the tasks and their addresses, `task` is the program that runs one task, `process`
is the supervisor's view of that process, and `supervisor` starts the processes, watches them,
restarts those that die or hang, and ends them all.
"""
