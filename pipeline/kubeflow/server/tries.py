"""The steps of a run, of whose tries Argo makes nodes of their own.

A step that may be tried again is a node with its name, and each try of it another one: `trainer`,
`trainer(0)`, `trainer(1)`. Beside them a run has nodes that are no steps, as that of the whole DAG.
"""

import collections
import dataclasses
import datetime
import re
from collections.abc import Collection, Iterable

from pipeline.kubeflow.server.api import Step

_TRY = re.compile(r"(?P<name>.+)\((?P<number>\d+)\)")
_LATER = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)


def folded(nodes: Iterable[Step], names: Collection[str]) -> list[Step]:
    """Returns the steps, each with what became of all its tries, in the order of their ends.

    Args:
        nodes: of the run, as the server tells them.
        names: of the workflow's steps.
    """
    steps: dict[str, Step] = {}
    tries: dict[str, dict[int, Step]] = collections.defaultdict(dict)
    for node in nodes:
        if node.name in names:
            steps[node.name] = node
        elif (match := _TRY.fullmatch(node.name)) and match["name"] in names:
            tries[match["name"]][int(match["number"])] = node
    for name, own in tries.items():
        last = own[max(own)]
        whole = steps.get(name, last)
        # What went wrong is with the try; the whole only says that there is no other one.
        message = last.message or whole.message
        steps[name] = dataclasses.replace(whole, name=name, message=message, tries=len(own))
    return sorted(steps.values(), key=lambda step: (step.finished or _LATER, step.name))
