# `make help` lists the targets. Everything runs in .venv, which `make setup` creates.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z][a-z0-9_-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# torch and torchvision come from one resolution, so that both are of the same build
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "inpaint needs Python 3.11 or newer; make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

.PHONY: setup
setup: $(VENV)/installed  ## create .venv and install the project

.PHONY: quickstart
quickstart: setup  ## both stages in minutes, with nothing to download: train a little, fill four pictures
	$(BIN)/python -m inpaint.train +experiment=quickstart

.PHONY: lint
lint: $(VENV)/installed-test  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: lint  ## every check: lint, format, types, import rules, tests
	$(BIN)/python -m pytest $(TESTS)

.PHONY: format
format: $(VENV)/installed-test  ## format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean:  ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: bench
bench: setup  ## the refinement's speed and memory, as ratios measured in one run (a quarter of an hour and more)
	$(BIN)/python -m experiments.speed.bench
