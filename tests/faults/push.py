"""A process that deploys as the Pusher does: `python -m tests.faults.push MODEL SERVING`."""

import sys

from etils import epath

from components.pusher import executor

if __name__ == "__main__":
    executor.deploy(epath.Path(sys.argv[1]), epath.Path(sys.argv[2]))
