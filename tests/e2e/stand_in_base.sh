#!/bin/sh
# Makes a stand-in for python:3.10-slim-bookworm, for a machine that reaches Debian's packages but
# no image registry. Needs mmdebstrap and buildah.
#
#   tests/e2e/stand_in_base.sh NAME:TAG [PYTHON]
#
# PYTHON is a Python 3.10 of this machine; it goes to /usr/local without what the official image
# leaves out as well: bytecode, tests, static libraries.
set -eu

[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
name=$1
prefix=$("${2:-python3.10}" -c 'import sys; print(sys.base_prefix)')
[ "$prefix" != /usr ] || { echo "$0: need a Python with a folder of its own, not in /usr" >&2 && exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tar -C "$prefix" -cf "$scratch/python.tar" --transform 's,^\.,usr/local,' \
  --owner 0 --group 0 --mode a+rX --exclude ./share --exclude '*.pyc' --exclude '*.a' \
  --exclude ./lib/python3.10/site-packages \
  --exclude test --exclude tests --exclude idle_test .
mmdebstrap --quiet --variant=minbase \
  --include ca-certificates,netbase,tzdata,libbz2-1.0,libffi8,liblzma5,libncursesw6 \
  --include libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g \
  --customize-hook "tar-in '$scratch/python.tar' /" \
  --customize-hook 'chroot "$1" ldconfig' \
  --customize-hook 'chroot "$1" /usr/local/bin/python3.10 -m ensurepip >/dev/null 2>&1' \
  --customize-hook 'find "$1/usr/local" -name "*.pyc" -delete' \
  --customize-hook 'ln -sf python3.10 "$1/usr/local/bin/python"' \
  bookworm "$scratch/root.tar"

container=$(buildah from scratch)
buildah add --quiet "$container" "$scratch/root.tar" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
  --env LANG=C.UTF-8 --cmd python3 "$container"
buildah commit --quiet --rm "$container" "$name" >/dev/null
