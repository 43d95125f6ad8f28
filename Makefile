# Two commands do everything, set-up included: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_FOR_UI := $(VENV)/.ready-for-ui
READY_TO_SERVE := $(VENV)/.ready-to-serve
# What only tests and maintainers need: torch among it, the reference that vectors are compared with.
READY_TO_TEST := $(VENV)/.ready-to-test

# A file stays in one process, which builds what its tests share once; slow files begin first. One process more than
# there are processors: tests wait for disks, servers and locks a fifth of their time.
PROCESSES_OF_TESTS := $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))
TESTS := $(BIN)/python -m pytest --numprocesses $(PROCESSES_OF_TESTS) --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes. Where compiled modules may not be kept, each compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=

# The UI shows the runs of `rag-pipeline run`, so both ask the same function where runs are recorded.
HOME_OF_RUNS := from rag_pipeline.defs.instance import dagster_home; \
	from rag_pipeline.settings import load_pipeline; print(dagster_home(load_pipeline()))

.PHONY: run test test-ci test-all check ui serve docs format clean help constraints

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# constraints.txt pins every package, so this is the same environment on every machine.
$(READY): pyproject.toml constraints.txt tools/set_up.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@echo "Setting up $(VENV): this takes about a minute the first time."
	@$(PYTHON) tools/set_up.py $(VENV)
	@touch $(READY)

$(READY_FOR_UI): $(READY)
	@echo "Adding the Dagster UI to $(VENV), once."
	@$(PYTHON) tools/set_up.py $(VENV) --extra ui
	@touch $(READY_FOR_UI)

$(READY_TO_SERVE): $(READY)
	@echo "Adding the server to $(VENV), once."
	@$(PYTHON) tools/set_up.py $(VENV) --extra serve
	@touch $(READY_TO_SERVE)

$(READY_TO_TEST): $(READY)
	@echo "Adding what the tests need to $(VENV): this takes a minute or two, once."
	@$(PYTHON) tools/set_up.py $(VENV) --extra dev
	@touch $(READY_TO_TEST)

run: $(READY) ## Refresh everything on the sample documents and publish
	@$(BIN)/rag-pipeline run

test: $(READY_TO_TEST) ## Run the quick tests: not those that build lakes, start servers, run Dagster, kill runs or break storage
	@$(TESTS) -m "not slow and not long and not exhaustive"

test-ci: $(READY_TO_TEST) ## Run what CI runs: those, what builds lakes and starts servers, and each promise, fault and way to run once
	@$(TESTS) -m "not exhaustive"

test-all: $(READY_TO_TEST) ## Run every test in every case and with more examples, and count the lines that they run
	@$(TESTS) --hypothesis-profile many --cov --cov-report=

ui: $(READY_FOR_UI) ## Start the Dagster UI and daemon on this project
	@echo "Dagster UI: http://127.0.0.1:3000 (stop with Ctrl-C)"
	@home="$$($(BIN)/python -c '$(HOME_OF_RUNS)')" && \
		DAGSTER_HOME="$$home" PYTHONWARNINGS=ignore::FutureWarning PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dagster dev -w workspace.yaml

serve: $(READY_TO_SERVE) ## Serve search over HTTP, with its page, at http://127.0.0.1:8321
	@$(BIN)/rag-pipeline serve

docs: $(READY_TO_TEST) ## Write the generated pages of docs/ again
	@$(BIN)/python docs/generate.py

check: $(READY_TO_TEST) ## Format, lint, type and test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/mypy
	@$(TESTS) -m "not exhaustive"

format: $(READY_TO_TEST)
	@$(BIN)/ruff format .

clean: ## Remove the environment, the lake of the sample and all caches
	rm -rf $(VENV) .dagster .mypy_cache .ruff_cache .pytest_cache data/lake

constraints: ## Pin every package anew (for maintainers)
	@rm -rf .venv-constraints && $(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/python -m pip install --quiet torch==2.13.0 --editable '.[dev,kubernetes]'
	@{ sed -n '/^#/p' constraints.txt; \
		.venv-constraints/bin/python -m pip freeze --exclude-editable | sed -E 's/^torch( @.*|==.*)/torch==2.13.0/'; } > constraints.new
	@mv constraints.new constraints.txt && rm -rf .venv-constraints
