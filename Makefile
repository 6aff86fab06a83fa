.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test clusters check bench notebooks clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --no-compile --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install -q --no-compile --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP)  ## make a virtual environment and install everything

demo: setup  ## the whole loop on a synthetic bank, then serve it (ARGS=--no-serve ends instead)
	$(BIN)/recsys demo $(ARGS)

test: setup  ## run the tests, a file in one process
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

clusters: setup  ## run the tests on a Ray cluster of several machines in processes, some of which are killed
	RECSYS_TEST_CLUSTER=1 $(BIN)/pytest tests/test_spread.py $(ARGS)

check: setup  ## style, types, that the API breaks no client, and dependencies (their vulnerabilities need pip-audit)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m serving.description --check
	$(BIN)/pip check -q
	$(BIN)/python -m tests.dependencies > /dev/null

bench: setup  ## measurements, each a ratio against a named reference in the same run
	$(BIN)/python -m tests.benchmarks $(ARGS)

notebooks: setup  ## run the notebooks top to bottom, full size (nothing is written back)
	@for notebook in notebooks/*.ipynb; do echo "$$notebook"; \
		$(BIN)/jupyter execute --timeout=1800 --output=/dev/null $$notebook || exit 1; done

clean:  ## remove what was built (RECSYS_HOME stays)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
