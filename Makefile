# The few verbs of the project; CI calls the same ones.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCE ?=
DEMO_DATA ?= demo-data


# How many processes that is, and in which order they take modules, says tests/conftest.py. A module stays in one process,
# with what its tests share.
PARALLEL ?= --numprocesses=auto --dist=loadscope --no-loadscope-reorder

.PHONY: env demo check test coverage lint bench bench-cluster clean

env: $(VENV)/.installed  ## create .venv with everything the project needs

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("refold needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo 'putting everything the project needs into $(VENV): a minute or two, once'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env  ## ingest real documents, search them, prove the indexes equal the log: make demo [SOURCE=dir]
	@$(BIN)/python -m refold.demo.__main__ --data '$(DEMO_DATA)' $(if $(SOURCE),'$(SOURCE)')

check: lint  ## what every commit passes, within two minutes: lint and the unit tests; starts no server
	REFOLD_TEST_SERVERS=off $(BIN)/python -m pytest $(PARALLEL) tests/unit

test: env  ## every test
	$(BIN)/python -m pytest $(PARALLEL)

coverage: env  ## every test, and which lines of this process they ran: half as much work again
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered

lint: env  ## formatting, rules, types, the direction of imports, the schemas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/lint-imports
	$(BIN)/refold schema check

bench: env  ## measure against bare SQLite, a naive loop and the floor; prints units and sizes
	$(BIN)/python -m tests.bench

bench-cluster: env  ## measure workers and projectors over servers on this machine: ops/scale.md
	$(BIN)/python -m tests.bench cluster

clean:  ## remove what make made
	rm -rf $(VENV) demo-data bench-results build dist *.egg-info
