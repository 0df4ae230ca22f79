#!/bin/sh
# Makes .venv from a lock file.
#
#   requirements/setup.sh run    what the pipeline needs      (requirements/run.lock)
#   requirements/setup.sh dev    the above and the dev tools  (requirements/dev.lock)
#
# A second call with an unchanged lock returns at once. Set PYTHON to choose the Python 3.10.
# Exits 2 when there is no Python 3.10 to be had, 1 on any other failure.
#
# .venv/.setup-GROUP marks a complete set-up: it holds the hash of GROUP's lock and the folder's
# path, and is written last. Every lock contains run.lock's packages at the same versions, so adding
# a group leaves run's packages and its stamp valid. .venv/.setup-partial marks an addition that has
# begun; if it was interrupted, the next call for that group starts afresh.
set -eu

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

say() { printf '%s\n' "setup: $*"; }

die() {
  code=$1
  shift
  printf '%s\n' "setup: $*" >&2
  exit "$code"
}

stamp() {
  sha256sum "requirements/$1.lock"
  printf '%s\n' "$root"
}

current() {
  [ -x .venv/bin/python ] && [ -f ".venv/.setup-$1" ] &&
    [ "$(stamp "$1")" = "$(cat ".venv/.setup-$1")" ]
}

# Prints the real path of $1 if it runs and is a complete CPython 3.10. A pyenv shim may exist but
# not run, and a Python built without some header lacks that module. The base interpreter's path is
# printed, because a virtual environment's Python may be the one about to be replaced.
python310() {
  "$1" -I -c '
import bz2, ctypes, os, ssl, sys
if sys.version_info[:2] == (3, 10) and sys.implementation.name == "cpython":
    base = os.path.join(sys.base_prefix, "bin", "python3.10")
    print(base if os.access(base, os.X_OK) else os.path.realpath(sys.executable))
' 2>/dev/null </dev/null | grep .
}

# Lists every executable on PATH called $1, not just the first.
on_path() {
  (
    set -f
    IFS=:
    for dir in $PATH; do
      if [ -x "$dir/$1" ] && [ ! -d "$dir/$1" ]; then printf '%s\n' "$dir/$1"; fi
    done
  )
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    python310 "$PYTHON" && return
    say "PYTHON=$PYTHON is not a Python 3.10 that runs and has bz2, ctypes and ssl; looking for another" >&2
  fi
  {
    on_path python3.10
    for dir in "${PYENV_ROOT:-${HOME:-/}/.pyenv}" "${HOME:-/}/.pyenv"; do
      for file in "$dir"/versions/3.10*/bin/python3.10; do printf '%s\n' "$file"; done
    done
    on_path python3
  } | while IFS= read -r candidate; do
    if [ -x "$candidate" ] && python310 "$candidate"; then break; fi
  done | grep .
}

uv_runs() { "$1" pip install --help 2>/dev/null </dev/null | grep -q -e --build-constraint; }

# Fetches the pinned uv with the pip of Python 3.10 or of any other Python.
fetch_uv() {
  rm -rf .venv-tools
  {
    [ -z "$python" ] || printf '%s\n' "$python"
    on_path python3
    on_path python
  } | while IFS= read -r with; do
    if ! "$with" -m pip --version; then
      # No pip: a virtual environment may have one (but not on a Debian without python3-venv).
      "$with" -m venv .venv-tools/pip && with=.venv-tools/pip/bin/python || continue
    fi >>"$log" 2>&1 </dev/null
    if PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$with" -m pip install --disable-pip-version-check \
      --require-hashes --no-deps --only-binary :all: --upgrade --target .venv-tools \
      -r requirements/uv.txt >>"$log" 2>&1 </dev/null; then break; fi
  done
  uv_runs .venv-tools/bin/uv
}

find_uv() {
  for uv in uv "$root/.venv-tools/bin/uv"; do
    if uv_runs "$uv"; then return; fi
  done
  say "no usable uv on PATH: fetching the pinned one into .venv-tools"
  fetch_uv || return 1
  uv=$root/.venv-tools/bin/uv
}

failed() {
  {
    printf '%s\n' "setup: $1 failed after $(($(date +%s) - began)) s; the end of $log:"
    tail -n 6 "$log" | cut -c1-300 | sed 's/^/    /'
    if grep -q 'Python\.h' "$log"; then
      say "$python lacks its headers: apt-get install python3.10-dev, or use a pyenv or uv Python"
    elif ! command -v g++ >/dev/null && ! command -v c++ >/dev/null; then
      say "one package (pyfarmhash) is built from source and there is no C++ compiler:" \
        "apt-get install g++"
    elif [ "$(uname -sm)" != 'Linux x86_64' ]; then
      say "the locks are for x86_64 Linux and this is $(uname -sm)"
    fi
  } >&2
  exit 1
}

group=${1:-}
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
case $group in
  -h | --help) usage && exit ;;
  '' | */* | .*) usage >&2 && exit 1 ;;
esac
[ -f "requirements/$group.lock" ] || die 1 "there is no requirements/$group.lock"
current "$group" && exit

if command -v flock >/dev/null; then
  exec 9>.venv-setup.lock
  flock -n 9 || { say "another set-up is running here: waiting for it" && flock 9; }
  current "$group" && exit
fi
trap 'die 130 "interrupted; the next call starts afresh"' INT
trap 'die 143 "stopped; the next call starts afresh"' TERM HUP

began=$(date +%s)
log=$root/.venv-setup.log
: >"$log"
no_uv="no uv, and no Python here could fetch it by pip: put uv on PATH or apt-get install python3-pip (log: $log)"
no_python="no Python 3.10 that runs and has bz2, ctypes and ssl: get one with 'pyenv install 3.10', 'uv python install 3.10' or, where apt has it, 'apt-get install python3.10-dev'"
# uv gets the interpreter's path: its own search would stop at a shim that does not run.
unset UV_PYTHON UV_SYSTEM_PYTHON VIRTUAL_ENV

if current run && [ ! -e ".venv/.setup-$group" ] && [ ! -e .venv/.setup-partial ]; then
  python=.venv/bin/python
  find_uv || die 1 "$no_uv"
  say "adding to .venv what requirements/$group.lock has besides run.lock"
else
  python=$(find_python) || python=
  if ! find_uv; then
    [ -n "$python" ] || die 2 "$no_python"
    die 1 "$no_uv"
  fi
  if [ -z "$python" ]; then
    python=$("$uv" python find --managed-python 3.10 2>>"$log") || python=
  fi
  if [ -z "$python" ]; then
    say "no Python 3.10 here: trying 'uv python install 3.10'"
    if UV_PYTHON_INSTALL_BIN=0 "$uv" python install 3.10 >>"$log" 2>&1 </dev/null; then
      python=$("$uv" python find --managed-python 3.10 2>>"$log") || python=
    fi
    [ -n "$python" ] || die 2 "$no_python"
  fi
  say "making .venv with $python from requirements/$group.lock (2.6 GB, downloaded the first time)"
  rm -rf .venv
  "$uv" venv --no-python-downloads --python "$python" .venv >>"$log" 2>&1 </dev/null || failed "making .venv"
fi

: >.venv/.setup-partial
# run.lock also pins the build tools of the few packages without a wheel.
"$uv" pip install --python .venv/bin/python --require-hashes -r "requirements/$group.lock" \
  -b requirements/run.lock >>"$log" 2>&1 </dev/null || failed "installing requirements/$group.lock"

for done in run "$group"; do
  stamp "$done" >".venv/.setup-$done.new"
  mv ".venv/.setup-$done.new" ".venv/.setup-$done"
done
rm .venv/.setup-partial
say "ready in $(($(date +%s) - began)) s"
