#!/usr/bin/env bash
# Builds what `make test-cluster` starts from the Go modules in engines/: etcd, Kubernetes' API
# server and controller manager, and Kubeflow's training operator.
#
#   build_engines.sh FOLDER
#
# FOLDER gets a subfolder for each module with its programs, which are built again only if the
# module or Go has changed. Its `source` is a link to the downloaded module with its manifests;
# of Argo Workflows only these are needed.
set -euo pipefail
modules=$(cd "$(dirname "${BASH_SOURCE[0]}")/engines" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)

if ! command -v go > /dev/null; then
  echo "test-cluster: found no go on PATH, expected Go 1.26 or newer; install it from go.dev," \
    "it builds Kubernetes' API server" >&2
  exit 2
fi

# The programs need no C library, and a build without C needs no compiler.
export CGO_ENABLED=0

build() {
  local name=$1 began=$SECONDS built=$folder/$1/built version
  mkdir -p "$folder/$name"
  cd "$modules/$name"
  version=$(cat go.mod go.sum <(go version) | sha256sum)
  if [[ ! -e $built || $(< "$built") != "$version" ]]; then
    go build -buildvcs=false -trimpath -ldflags='-s -w' -o "$folder/$name/" tool
    echo "$version" > "$built"
    echo "test-cluster: built $name in $((SECONDS - began)) s"
  fi
}

download() {
  local name=$1 source=$2
  mkdir -p "$folder/$name"
  cd "$modules/$name"
  go mod download "$source"
  ln -sfn "$(go list -m -f '{{.Dir}}' "$source")" "$folder/$name/source"
}

# One after another, as linking Kubernetes takes 3 GB of memory.
build etcd
build kubernetes
build training_operator
download training_operator github.com/kubeflow/training-operator
download argo github.com/argoproj/argo-workflows/v3
