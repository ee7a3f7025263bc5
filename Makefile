# `make demo` and `make test` need Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
TOOLS := $(VENV)/.tools
PEERS := .venv-peers
PEERS_INSTALLED := $(PEERS)/.installed
ONLY ?=
# How many test files run in parallel: 3 on two cores, because tests of servers often wait.
TEST_JOBS ?= 3
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-long check lint types duplicates bench mutants serve format lock audit licences clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(RUNTIME) ## crawl the sandbox, build, publish, train, report: everything once, on invented data
	@$(BIN)/python -m flows.demo

test: $(TOOLS) ## run the tests (ONLY=<package> for those of one package)
	@$(PYTEST) $(if $(ONLY),tests/$(ONLY))

test-long: $(TOOLS) ## run all tests, also those that take too long for every change
	@$(PYTEST) --long $(if $(ONLY),tests/$(ONLY))

check: $(TOOLS) ## lint, format, types, import layers, lengths, duplicate lines
	@$(MAKE) --no-print-directory --jobs=2 types duplicates lint

lint:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types:
	@$(BIN)/mypy

# ruff cannot find duplicate lines or limit the length of a file. Tests may repeat lines; pylint takes half a minute for
# their length alone.
duplicates:
	@$(BIN)/pylint crawler dataset features model flows
	@find tests -name '*.py' -exec awk 'FNR == 401 { print FILENAME ": more than 400 lines"; bad = 1 } END { exit bad }' {} +

# These benchmarks have limits only, no peers.
WITHOUT_PEERS := gpu threads

bench: $(TOOLS) $(if $(filter-out $(WITHOUT_PEERS),$(or $(ONLY),all)),$(PEERS_INSTALLED)) ## measure speed and memory against peers (ONLY=<name> for one benchmark)
	@$(BIN)/python tests/bench/run.py $(ONLY)

mutants: $(TOOLS) ## break the k-core, the splits, metrics, sampling and JIFR line by line; list what the tests miss
	@OMP_NUM_THREADS=1 $(BIN)/mutmut run
	@$(BIN)/mutmut results

serve: $(RUNTIME) ## serve the Prefect deployments on this machine
	@$(BIN)/python -m flows.serve

format: $(TOOLS) ## fix format and lint where that is safe
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# torch is built for each device, so it has no hashes, and neither has what only torch needs.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml --extra all
WITHOUT_HASHES = $$(sed -nE 's/^(torch|torchvision|triton|(nvidia|cuda)-[a-z0-9-]+)==.*/--no-emit-package \1/p' requirements.lock)

lock: $(RUNTIME) ## renew both lock files: names and versions, for every system and Python
	@$(COMPILE) --extra dev --upgrade -o requirements.lock
	@$(COMPILE) --constraints requirements.lock --generate-hashes $(WITHOUT_HASHES) -o requirements-hashes.lock

audit: $(RUNTIME) ## look the locked versions up among the known vulnerabilities (needs the internet)
	@$(BIN)/uv tool run pip-audit --strict --disable-pip --no-deps --requirement requirements.lock

licences: $(RUNTIME) ## list the licence of every installed library
	@$(BIN)/uv tool run pip-licenses --python $(BIN)/python --order=license

clean: ## remove the environment and the caches, not the data
	rm -rf $(VENV) $(PEERS) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants

# The lock file only constrains versions. Installing everything it lists would add the GPU libraries of torch's default
# build to the CPU build (UV_TORCH_BACKEND=cpu). Bytecode is compiled once, here: where Python may not write bytecode
# (as in many containers), every start would compile what it imports and take twice as long.
INSTALL := $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraints requirements.lock --editable

$(RUNTIME): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once). torch's default build is large: on Linux 3 GB to download, 6 GB on disk."
	@echo "Without a GPU, stop here and take the small CPU build: UV_TORCH_BACKEND=cpu make $(MAKECMDGOALS)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "the venv module is missing; install it (Debian: apt install python3-venv) and run make again" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(INSTALL) '.[flows]'
	@touch $@

# Development tools. RecBole's wheel ships MovieLens-100K, which a test reads; it has a folder of its own, from
# which nothing is imported.
$(TOOLS): $(RUNTIME)
	@echo "Adding the tools for tests and checks to $(VENV) (once)."
	@$(INSTALL) '.[dev]'
	@$(BIN)/uv pip install --quiet --no-deps --target $(VENV)/ml-100k recbole==1.2.1
	@touch $@

# The libraries that `make bench` compares with. In the project's environment, they would change its versions.
$(PEERS_INSTALLED): tests/bench/peers.txt $(RUNTIME)
	@echo "Setting up $(PEERS), the libraries that make bench compares with (once)."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --requirement tests/bench/peers.txt
	@touch $@
