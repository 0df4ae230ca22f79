"""The entry point in a V2 step's container: `python v2_container.py ROOT -m MODULE ARGUMENTS`.

Object stores are mounted below ROOT instead of `/`, which is the machine's own.
"""

import pathlib
import runpy
import sys

from pipeline.kubeflow.compile import mounts

root, option, module, *arguments = sys.argv[1:]
assert option == "-m"
mounts.ROOT = pathlib.Path(root)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
