"""Merging of Argo's nodes into the steps of a run.

A step that may be retried has a node with its name, and one more for each attempt: `trainer`,
`trainer(0)`, `trainer(1)`. A run also has nodes that are not steps, such as that of the whole DAG.
"""

import collections
import dataclasses
import datetime
import re
from collections.abc import Collection, Iterable

from pipeline.kubeflow.server.pipelines_api import Step

_TRY = re.compile(r"(?P<name>.+)\((?P<number>\d+)\)")
_LATER = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)


def folded(nodes: Iterable[Step], names: Collection[str]) -> list[Step]:
    """Returns the steps, each merged with its attempts, in the order in which they ended.

    Args:
        nodes: the nodes of the run, as the server reports them.
        names: the names of the workflow's steps.
    """
    steps: dict[str, Step] = {}
    tries: dict[str, dict[int, Step]] = collections.defaultdict(dict)
    for node in nodes:
        if node.name in names:
            steps[node.name] = node
        elif (match := _TRY.fullmatch(node.name)) and match["name"] in names:
            tries[match["name"]][int(match["number"])] = node
    for name, attempts in tries.items():
        last = attempts[max(attempts)]
        whole = steps.get(name, last)
        # The attempt has the cause; the step's own node only says that there are no more retries.
        message = last.message or whole.message
        steps[name] = dataclasses.replace(whole, name=name, message=message, tries=len(attempts))
    return sorted(steps.values(), key=lambda step: (step.finished or _LATER, step.name))
