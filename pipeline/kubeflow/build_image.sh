#!/bin/sh
# Builds the container image of the steps; called by `make image`.
#
#   pipeline/kubeflow/build_image.sh NAME:TAG [BUILD OPTION]...
#
# Uses the first of docker, podman and buildah that runs, or the one in ENGINE. Options are passed
# to it, such as --build-arg BASE=... or --secret id=ca,src=...
set -eu
cd "$(dirname "$0")/../.."

[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
image=$1
shift

# Checks `info` as well, as docker may be installed without a running daemon.
runs() { command -v "$1" >/dev/null && "$1" info >/dev/null 2>&1; }

if [ -n "${ENGINE:-}" ]; then
  case $ENGINE in docker | podman | buildah) ;; *)
    echo "image: ENGINE=$ENGINE: expected docker, podman or buildah" >&2 && exit 2 ;;
  esac
  runs "$ENGINE" || {
    echo "image: ENGINE=$ENGINE: '$ENGINE info' fails: is it installed, and its daemon running?" >&2
    exit 2
  }
else
  for ENGINE in docker podman buildah none; do
    if runs "$ENGINE"; then break; fi
  done
fi

folder=pipeline/kubeflow
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
revision=$(git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown)
set -- --file "$folder/Dockerfile" --tag "$image" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" "$@" .
ignore="--ignorefile $folder/Dockerfile.dockerignore" # docker finds it by itself

case $ENGINE in
  docker)
    DOCKER_BUILDKIT=1 docker build "$@"
    size=$(docker image inspect --format '{{.Size}}' "$image")
    ;;
  podman)
    podman build $ignore "$@"
    size=$(podman image inspect --format '{{.Size}}' "$image")
    ;;
  buildah)
    buildah build --layers $ignore "$@"
    size=
    ;;
  none)
    echo "image: no docker, podman or buildah that runs: install one, as 'apt-get install podman'" >&2
    exit 2
    ;;
esac
if [ -n "$size" ]; then size="$((size / 1000000)) MB"; else
  size=$(buildah images --format '{{.Size}}' "$image")
fi
echo "image: $image, $size"
