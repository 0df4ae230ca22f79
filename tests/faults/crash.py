"""Runs a module in which one call ends the process: `python -m tests.faults.crash POINT MODULE ...`

POINT is PLACE@NUMBER: the process is killed when the function at PLACE is about to be called for
the NUMBER-th time. Or PLACE@NUMBER@BYTES: from that call on the process is killed by the first
write that makes a file longer than that, in its midst. The functions themselves stay what they are.
"""

import functools
import os
import pkgutil
import resource
import runpy
import signal
import sys


def main() -> None:
    point, module, *arguments = sys.argv[1:]
    place, number, *size = point.split("@")
    owner_name, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original, calls = getattr(owner, name), 0

    @functools.wraps(original)
    def crashing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == int(number):
            if not size:
                os.kill(os.getpid(), signal.SIGKILL)
            # What the system does at the limit; Python would make an error of it.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(size[0]), int(size[0])))
        return original(*args, **kwargs)

    setattr(owner, name, crashing)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
