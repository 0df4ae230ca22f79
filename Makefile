# `make` lists the targets. A target that needs .venv creates or updates it first.

CONFIG ?= data/king_county/pipeline.yaml
PYTHON_BIN := .venv/bin/python
# Tests are distributed by file, since those in a file share their pipelines. Without reordering,
# the long files, which have few tests, come first, and no process waits for them at the end.
PYTEST := $(PYTHON_BIN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# If it were set, every process would compile TensorFlow and TFX again, which takes 9 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-cluster test-engines test-pipelines-server lint format lock \
  image clean setup-run setup-dev

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
	  while IFS='|' read -r target what; do printf '%-28s %s\n' "$$target" "$$what"; done

run: setup-run ## raw table to pushed model; ARGS="--set train.max_steps=500", CONFIG=<file>
	@$(PYTHON_BIN) local_runner.py run --config $(CONFIG) $(ARGS)

# `test` checks properties with the same examples each time; `test-all` searches for new ones.
test: setup-dev ## every test but the slow ones; ARGS="-k name"
	@$(PYTEST) -m "not slow" --hypothesis-profile=same_each_time $(ARGS)

test-all: setup-dev ## every test
	@$(PYTEST) $(ARGS)

# Programs of the cluster's control plane are built from Go modules into .engines.
test-cluster: setup-dev ## compiled workflows and TFJobs on a real Kubernetes API server; needs Go
	@tests/cluster/build_engines.sh .engines
	@$(PYTHON_BIN) -m pytest tests/cluster $(ARGS)

test-engines: setup-dev ## pipelines on Prism, Flink and Spark, which are put into .engines/
	@$(PYTHON_BIN) -m pytest tests/engines $(ARGS)

# `make test` runs the same tests against a stand-in. Their conftest.py alone starts no TensorFlow.
test-pipelines-server: setup-dev ## submit and schedule on a real server; ENDPOINT=http://...
	@test -n "$(ENDPOINT)" || { echo "test-pipelines-server: no ENDPOINT; give the address of" \
	  "Kubeflow Pipelines, as ENDPOINT=http://127.0.0.1:8888" >&2; exit 2; }
	@PIPELINES_SERVER_UNDER_TEST=$(ENDPOINT) $(PYTHON_BIN) -m pytest \
	  --confcutdir=tests/pipelines_server tests/pipelines_server $(ARGS)

lint: setup-dev ## ruff (rules and format), mypy
	@status=0; .venv/bin/ruff check . || status=1; .venv/bin/ruff format --check . || status=1; \
	  $(PYTHON_BIN) -m mypy || status=1; exit $$status

format: setup-dev ## rewrite the code in the project's format
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

# Keeps the locked versions; UPGRADE=1 takes the newest that fit. The platform is that of the oldest
# supported systems, so that a lock does not depend on the machine that made it.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --generate-hashes \
  $(if $(UPGRADE),--upgrade) --no-emit-index-url --no-emit-find-links
LOCK_FOR = --python $(PYTHON_BIN) --python-version 3.10 --python-platform x86_64-manylinux_2_28
UV = $(if $(wildcard .venv-tools/bin/uv),.venv-tools/bin/uv,uv)

lock: setup-run ## update the lock files from pyproject.toml; UPGRADE=1
	@$(LOCK) $(LOCK_FOR) pyproject.toml -o requirements/run.lock
	@$(LOCK) $(LOCK_FOR) pyproject.toml --extra dev -c requirements/run.lock \
	  -o requirements/dev.lock
	@echo uv | $(LOCK) --python $(PYTHON_BIN) --universal - -o requirements/uv.txt
	@if grep -nE 'https?://|^-' requirements/*.lock requirements/uv.txt; then \
	  echo "lock: the lines above carry an address or an option; remove them" >&2; exit 1; fi

IMAGE ?= estimator-pipeline:latest

image: ## build the image of a cluster's steps; IMAGE=name:tag ARGS="--build-arg BASE=..."
	@pipeline/kubeflow/build_image.sh $(IMAGE) $(ARGS)

clean: ## remove the caches, .engines and .venv; the workspace stays
	@rm -rf .engines .venv .venv-tools .venv-setup.log .venv-setup.lock \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./workspace -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

setup-run:
	@requirements/setup.sh run

setup-dev:
	@requirements/setup.sh dev
