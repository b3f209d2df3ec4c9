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

$(VENV)/installed-removal: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[classical,patchmatch]'
	touch $@

.PHONY: removal
removal: $(VENV)/installed-removal  ## objects removed from 12 photographs, by this package and by others, side by side
	$(BIN)/python -m experiments.removal.removal

.PHONY: choices
choices: setup  ## what each choice of the refinement is worth (about ten minutes)
	$(BIN)/python -m experiments.refinement_choices.choices

DATA ?= ../shared/data

.PHONY: starter
starter: setup  ## train the network that ships (DATA: the folder that holds its four data sets)
	$(BIN)/python -m inpaint.train +experiment=starter data.root=$(DATA)
