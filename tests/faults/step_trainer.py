"""A process that trains as the Trainer's step on Kubeflow does, in pods of a TFJob.

`python -m tests.faults.step_trainer ARGUMENTS TFJOB URL NAMESPACE POD`; see `tests.faults.trainer`.
"""

import json
import pathlib
import sys

from absl import logging
from kubernetes import client

from models.distributed.launchers import launching_with
from pipeline.kubeflow.tfjob.launcher import Launcher
from pipeline.kubeflow.tfjob.tfjob_client import Jobs
from tests.faults import trainer


def main() -> None:
    job, url, namespace, pod = sys.argv[2:]
    configuration = client.Configuration()
    configuration.host = url
    jobs = Jobs(client.ApiClient(configuration), namespace, pod)
    logging.set_verbosity(logging.INFO)
    with launching_with(Launcher(json.loads(pathlib.Path(job).read_text()), jobs, every=0.2)):
        trainer.main()


if __name__ == "__main__":
    main()
