"""A program that runs a module and crashes at a call: `python -m tests.faults.crash POINT MODULE`.

POINT is PLACE@NUMBER: the process is killed just before the NUMBER-th call of the function at
PLACE. With PLACE@NUMBER@BYTES, it is killed, after that call has begun, in the middle of the first
write that makes a file longer than BYTES. Arguments after MODULE are passed to the module.
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
            # Let the system kill the process at the limit; Python would raise an error.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(size[0]), int(size[0])))
        return original(*args, **kwargs)

    setattr(owner, name, crashing)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
