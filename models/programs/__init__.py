"""Programs of the processes that train: a task of a cluster, a trial of a search."""
