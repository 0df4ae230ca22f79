"""Ways to run a container's command on this machine, isolated as far as possible.

As root a container runs in namespaces. It has its own file system, from which everything outside
its volumes is removed afterwards, and its own process tree, which ends with its first process.
Without root it is a process group that works in the project's folder.
"""

import abc
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import UserError
from pipeline.config.kubeflow_config import WORKING_DIRECTORY
from pipeline.kubeflow.step_container import IMAGE_FOLDERS

_CODE = (*IMAGE_FOLDERS, "kubeflow_runner.py", "local_runner.py")
_PROCESSOR = ("OPENBLAS_", "MKL_", "OMP_", "TF_ENABLE_ONEDNN_OPTS")
"""Prefixes of variables that adapt libraries to this machine's processor, which steps keep."""

# Arguments: the new root with its three layers; triples of mode (rw or ro), source and target of a
# bind mount; "--"; the user; the working directory; the command. The shell stays as the first
# process of its tree, as its exit code, unlike unshare's, tells which signal ended the command.
_SCRIPT = """
set -e
root=$1 lower=$2 upper=$3 work=$4; shift 4
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir -p "$root$3"; else mkdir -p "$root${3%/*}"; : >"$root$3"; fi
  mount --bind "$2" "$root$3"
  [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
mkdir -p "$root/proc" "$root/dev" "$root/sys"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
shift
user=$1; shift
exec chroot --userspec="$user" "$root" /bin/sh -c 'cd "$0" && "$@"; exit $?' "$@"
"""


@dataclasses.dataclass(frozen=True)
class Command:
    """The command of a container, with what the container sees.

    Attributes:
        argv: the command and its arguments.
        environment: variables in addition to the image's.
        mounts: directories of this machine, by path in the container.
        working_directory: by default the image's.
        scratch: an empty directory for what the container writes outside its mounts.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    mounts: Mapping[str, pathlib.Path]
    scratch: pathlib.Path
    working_directory: str | None = None


class Isolation(abc.ABC):
    """A way to run containers."""

    @abc.abstractmethod
    def start(self, command: Command, log: Any) -> subprocess.Popen:
        """Starts the command, which writes its output to the open file `log`."""

    @abc.abstractmethod
    def host_path(self, command: Command, path: str) -> pathlib.Path:
        """Returns the path on this machine of a path in the container."""


def best(code: pathlib.Path) -> Isolation:
    """Returns the strongest isolation that this machine allows.

    Args:
        code: the project's folder, from which the code comes instead of from an image.
    """
    return Namespaces(code) if _may_unshare() else Processes(code)


def _may_unshare() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    probe = ["unshare", "-m", "-p", "-f", "mount", "--make-rprivate", "/"]
    return subprocess.run(probe, capture_output=True).returncode == 0


class Namespaces(Isolation):
    """Isolation for root: namespaces, and an overlay over this machine's own files.

    Args:
        code: the project's folder.
    """

    _user = 0

    def __init__(self, code: pathlib.Path):
        self._code = code

    def start(self, command: Command, log: Any) -> subprocess.Popen:
        """Starts the command; its process tree ends with the returned process, or with this one."""
        scratch = command.scratch
        host_paths = [scratch / name for name in ("root", "upper", "work", "tmp")]
        for host_path in host_paths:
            host_path.mkdir(parents=True, exist_ok=True)
        root, upper, work, temporary = map(str, host_paths)
        binds = ["rw", temporary, "/tmp", *self._code_binds()]
        for path, host_path in command.mounts.items():
            binds += ["rw", str(host_path), path]
        for host_path in (scratch / "tmp", *command.mounts.values()):
            self._give(host_path)
        directory = command.working_directory or WORKING_DIRECTORY
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-m", "-p", "-f", "--kill-child=KILL"]
            + ["/bin/sh", "-c", _SCRIPT, "sh", root, self._lower(), upper, work]
            + [*binds, "--", f"{self._user}:{self._user}", directory, *command.argv],
            env={**self._environment(), **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def host_path(self, command: Command, path: str) -> pathlib.Path:
        """Returns the path in a volume, in the container's /tmp or in the overlay's upper layer."""
        mounts = {**command.mounts, "/tmp": command.scratch / "tmp"}
        return _below(mounts, path) or command.scratch / "upper" / path.lstrip("/")

    def _lower(self) -> str:
        return "/"

    def _code_binds(self) -> list[str]:
        binds = []
        for name in _CODE:
            binds += ["ro", str(self._code / name), f"{WORKING_DIRECTORY}/{name}"]
        # Python may be on another file system than the root, which the overlay does not show.
        for prefix in dict.fromkeys((sys.prefix, sys.base_prefix)):
            binds += ["ro", prefix, prefix]
        return binds

    def _give(self, host_path: pathlib.Path) -> None:
        """Gives the container's user write access."""

    def _environment(self) -> dict[str, str]:
        return _base_environment(str(pathlib.Path(sys.executable).parent))


class Image(Namespaces):
    """Isolation for root: steps run from the image's own files, as the image's own user.

    Args:
        root: the image's root file system, as a directory.

    Raises:
        UserError: the directory is not from our image, or this machine allows no namespaces.
    """

    _user = 1000

    def __init__(self, root: pathlib.Path):
        self._root = root.resolve()
        if not (self._root / WORKING_DIRECTORY[1:] / "pipeline").is_dir():
            raise UserError(
                f"--image-root {root}: has no {WORKING_DIRECTORY}/pipeline; expected the root file "
                "system of an image made by `make image`"
            )
        if not _may_unshare():
            raise UserError(f"--image-root {root}: needs root, and a machine with namespaces")

    def _lower(self) -> str:
        return str(self._root)

    def _code_binds(self) -> list[str]:
        return []

    def _give(self, host_path: pathlib.Path) -> None:
        # Like fsGroup: the group may write, and new files belong to it.
        os.chown(host_path, -1, self._user)
        host_path.chmod(0o2775)

    def _environment(self) -> dict[str, str]:
        return _base_environment("/opt/venv/bin")


class Processes(Isolation):
    """Isolation without root: a process group in the project's folder.

    Args:
        code: the project's folder.
    """

    def __init__(self, code: pathlib.Path):
        self._code = code

    def start(self, command: Command, log: Any) -> subprocess.Popen:
        """Starts the command."""
        temporary = command.scratch / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = {
            **_base_environment(str(pathlib.Path(sys.executable).parent)),
            "TMPDIR": str(temporary),
            **command.environment,
        }
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        return subprocess.Popen(
            [*guard, *command.argv],
            cwd=command.working_directory or self._code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def host_path(self, command: Command, path: str) -> pathlib.Path:
        """Returns the same path, as the container sees this machine's files."""
        return pathlib.Path(path)


def kill(process: subprocess.Popen) -> None:
    """Kills a container and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _below(mounts: Mapping[str, pathlib.Path], path: str) -> pathlib.Path | None:
    for mount in sorted(mounts, key=len, reverse=True):
        if path == mount or path.startswith(f"{mount.rstrip('/')}/"):
            return mounts[mount] / path[len(mount) :].lstrip("/")
    return None


def _base_environment(binaries: str) -> dict[str, str]:
    """Returns the variables that the image sets, with those for this machine's processor."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_PROCESSOR)}
    return inherited | {
        "PATH": f"{binaries}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
