# Everything a developer or a newcomer types. `make help` lists it.
# Needs Python 3.11 or later and make; a virtual environment is made in .venv from hashed locks.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
IMAGES := $(wildcard components/*/requirements*.in)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench generate verify lock test-cluster clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/local ## release a real lending model on this machine, then watch bad builds of it taken back
	@$(BIN)/tallystick demo

test: lint ## lint, unit and integration tests; what needs a cluster is skipped with its reason
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev build/typing ## ruff, mypy --strict, import-linter, and whether generated files are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy build/typing/tallystick/components build/typing/tallystick/pipelines
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory verify

verify: $(VENV)/dev ## fail when a generated file is not what its source gives
	$(BIN)/python -m tallystick.pipelines.generate --check

generate: $(VENV)/dev ## write the generated files: compiled pipeline, schemas of contract and policy
	$(BIN)/python -m tallystick.pipelines.generate

bench: $(VENV)/dev ## measure beside the peers; ONLY=name for one; writes build/bench.json
	$(BIN)/python -m tests.benchmarks.run $(ONLY)

test-cluster: $(VENV)/dev ## tests against the cluster that KUBECONFIG names
	$(BIN)/python -m pytest tests/cluster -m cluster $(PYTEST_ARGS)

lock: ## compile all locks again (needs uv)
	uv pip compile pyproject.toml --extra local $(LOCK_OPTIONS) -o requirements/local.txt
	uv pip compile requirements/dev.in -c requirements/local.txt $(LOCK_OPTIONS) -o requirements/dev.txt
	for file in $(IMAGES); do \
	  uv pip compile $$file -c requirements/local.txt $(LOCK_OPTIONS) -o $${file%.in}.txt || exit 1; \
	done
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade

clean: ## remove what was built and installed here (runs stay)
	rm -rf build .venv *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Tallystick needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 demo" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/local: requirements/local.txt pyproject.toml $(VENV)/python-is-new-enough
	@echo "installing the locked packages into $(VENV) (once; about 1.4 GB)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/local.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/local
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

# mypy does not see that pyproject.toml maps the folders into a package; these links show it.
build/typing:
	@mkdir -p build/typing/tallystick
	@ln -sfn ../../../components build/typing/tallystick/components
	@ln -sfn ../../../pipelines build/typing/tallystick/pipelines
