# Everything that is done with this checkout. `make help` lists it.
#   PYTHON   which Python makes the environment     make test PYTHON=python3.13 VENV=.venv-3.13
#   VENV     where the environment is
#   ARGS     goes to the program behind the target  make test ARGS="-k router -x"
#   JOBS     how many processes share the tests     make test JOBS=0 ARGS="-k router -s"
#   N        how many queries make fuzz draws       make fuzz N=500
#   SEED     what make fuzz draws: the same again   make fuzz SEED=7

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
JOBS ?= auto
N ?= 2000
SEED ?=

BIN := $(VENV)/bin
SETUP := PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-browser test-django test-crash test-slow fuzz lint \
	typecheck format docs bench requirements clean setup

# The tests that are marked so, shared among the processors, without MariaDB where there
# is none. Hundreds of processes import src, and where Python is told to write no
# bytecode each of them would compile it.
define pytest
	@left_out=$$($(SETUP) mariadb pgbouncer) || exit 1; \
	[ -z "$$left_out" ] || echo "$$left_out"; \
	$(BIN)/python -m compileall -q src; \
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --max-worker-restart 0 \
		-m "$(1)$${left_out:+ and not mariadb}" $(ARGS); \
	status=$$?; [ -z "$$left_out" ] || echo "$$left_out"; exit $$status
endef

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  ARGS="..." goes to the program behind a target; PYTHON and VENV choose the environment.'

demo: setup  ## Start the product reviews on their servers and print the address
	@exec $(BIN)/python examples/reviews/demo.py $(ARGS)

test: setup  ## Run the tests, but those of the other targets
	$(call pytest,not browser and not crash and not slow)

test-unit: setup  ## Run the tests that need no server
	@$(BIN)/python -m pytest -m "not mariadb" \
		$(wildcard tests/unit tests/cases tests/test_*.py) $(ARGS)

test-browser: setup  ## Walk through the demo in headless Chromium
	@$(SETUP) browser
	@$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

test-django: setup  ## Run Django's own tests on a sharded alias
	@exec $(BIN)/python -m tests.django_suite.run $(ARGS)

test-crash: setup  ## Kill everything at every step; sagas and messages everywhere
	$(call pytest,crash)

test-slow: setup  ## Walk through the docs and the demo; run PostgreSQL 15 beside 18
	$(call pytest,slow and not crash)

fuzz: setup  ## Compare N queries on a sharded alias with one database (N=2000)
	@left_out=$$($(SETUP) mariadb) || exit 1; \
	seed="$(SEED)"; seed=$${seed:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	again="make fuzz N=$(N) SEED=$$seed draws the same again."; echo "$$again"; \
	SHOAL_FUZZ=$(N) $(BIN)/python -m pytest \
		-m "not browser$${left_out:+ and not mariadb}" \
		--hypothesis-seed=$$seed --randomly-seed=$$seed \
		tests/integration/sharding/test_differential.py \
		tests/integration/sharding/test_types.py $(ARGS); \
	status=$$?; [ -z "$$left_out" ] || echo "$$left_out"; echo "$$again"; exit $$status

lint: setup typecheck  ## Check style, types, pins and what is committed
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/python scripts/requirements.py check
	@$(BIN)/python scripts/committed.py

typecheck: setup  ## Check the types (a part of lint)
	@$(BIN)/mypy $(ARGS)

format: setup  ## Put the code into the house's format
	@$(BIN)/ruff check --fix $(ARGS)
	@$(BIN)/ruff format $(ARGS)

docs: setup  ## Build the docs into docs/_build
	@$(SETUP) docs
	@$(BIN)/python -m sphinx --fail-on-warning --fresh-env --quiet docs docs/_build $(ARGS)
	@echo "docs/_build/index.html is ready."

bench: setup  ## Measure what Shoal costs
	@exec $(BIN)/python -m benchmarks $(ARGS)

requirements: setup  ## Pin the requirements anew (ARGS=--upgrade for newer versions)
	@$(SETUP) pins
	@$(BIN)/python scripts/requirements.py compile $(ARGS)

clean:  ## Remove what was built, and the virtual environments
	@rm -rf .venv .venv-* docs/_build build dist .mypy_cache .ruff_cache .pytest_cache
	@rm -rf src/*.egg-info .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@$(SETUP) dev
