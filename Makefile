# `make help` lists the targets. Everything runs in .venv, which `make setup` creates.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# which build of PyTorch to install: cpu, cu130 and so on; empty takes that of the usual index
TORCH ?=
TORCH_INDEX ?= $(if $(TORCH),https://download.pytorch.org/whl/$(TORCH))
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.NOTPARALLEL:  # one pip at a time in one environment

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z][a-z0-9_-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# torch and torchvision come from one resolution, so that both are of the same build
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "inpaint needs Python 3.11 or newer; make PYTHON=python3.13 setup")'
	@echo "Installing into $(VENV): some minutes, $(if $(TORCH_INDEX),about 1.3 GB,6 GB)."
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e '.[web,heif]'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP_INSTALL) -e '.[test]'
	touch $@

.PHONY: setup
setup: $(VENV)/installed  ## create .venv and install the project (TORCH=cpu: without CUDA, a quarter of the size)
	@echo 'Ready. Now: . $(VENV)/bin/activate'

.PHONY: quickstart
quickstart: setup  ## both stages in minutes, with nothing to download: train a little, fill four pictures
	$(BIN)/python -m inpaint.train +experiment=quickstart

.PHONY: lint
lint: $(VENV)/installed-test  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP_INSTALL) -e '.[docs]'
	touch $@

.PHONY: docs
docs: $(VENV)/installed-docs  ## build the documentation into site/, to be opened at site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: test
test: lint  ## every check: lint, format, types, import rules, tests, the documentation built strictly
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(TESTS)

.PHONY: format
format: $(VENV)/installed-test  ## format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: dist
dist: $(VENV)/installed-test  ## build wheel and source archive into dist/, without the network, and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

.PHONY: clean
clean:  ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: bench
bench: setup  ## the refinement's speed and memory, as ratios measured in one run (a quarter of an hour and more)
	$(BIN)/python -m experiments.speed.bench

$(VENV)/installed-removal: $(VENV)/installed
	$(PIP_INSTALL) -e '.[classical,patchmatch]'
	touch $@

.PHONY: removal
removal: $(VENV)/installed-removal  ## objects removed from 12 photographs, by this package and by others, side by side
	$(BIN)/python -m experiments.removal.removal

.PHONY: restoration
restoration: $(VENV)/installed-removal  ## four kinds of damage taken off photographs, by this package and by others
	$(BIN)/python -m experiments.restoration.restoration

.PHONY: load
load: $(VENV)/installed-test  ## eight people and programs at the page's server at once, for five minutes
	$(BIN)/python -m experiments.serving.load

.PHONY: pictures
pictures: $(VENV)/installed-test  ## the README's pictures of the page, by the browser that is installed (a minute)
	$(BIN)/python -m experiments.serving.pictures

.PHONY: choices
choices: setup  ## what each choice of the refinement is worth (half an hour and more; goes on after an interruption)
	$(BIN)/python -m experiments.refinement_choices.choices

.PHONY: bench-training
bench-training: setup  ## the speed of training and of reading pictures (DATA: the folder that holds imagenet_sample)
	$(BIN)/python -m experiments.training_speed.bench --data $(or $(DATA),../shared/data)/imagenet_sample

.PHONY: starter
starter: setup  ## train the network that ships, in two hours; goes on after an interruption (DATA: the folder that holds its data sets)
	$(BIN)/python -m inpaint.train +experiment=starter_base data.root=$(or $(DATA),../shared/data) \
		hydra.run.dir=outputs/starter/base ckpt_path=last
	$(BIN)/python -m inpaint.train +experiment=starter data.root=$(or $(DATA),../shared/data) \
		hydra.run.dir=outputs/starter/perceptual ckpt_path=last

# The tables, figures and ablations of the paper (experiments/README.md): `make alpha_sweep SIZE=small DATA=...`. What
# has finished is not run again. DATA is a folder of data sets; without it, photographs that ship with scikit-image. MORE
# is for every command: MORE=trainer=gpu.
DATA ?=
SIZE ?= full
OUT ?= outputs/reproduce/$(SIZE)
MORE ?=
# as experiments/studies.py lists them
STUDIES := $(shell grep -o '^# Study [0-9]*' conf/experiment/*.yaml | sort -t ' ' -k 3n | sed -E 's|.*/(.*)\.yaml:.*|\1|')

# the first of these folders that DATA holds
held = $(if $(DATA),$(firstword $(wildcard $(addprefix $(DATA)/,$(1)))))
PARIS := $(call held,paris_streetview paris_streetview_sample)
IMAGENET := $(call held,imagenet imagenet_sample)
EXAMPLES := $(call held,authors_examples)
PHOTOS := $(call held,photos)

# the sample of Paris StreetView has no training pictures: building fronts stand in
fronts := $(if $(wildcard $(PARIS)/paris_train_original/*),,$(if $(call held,facades),data.train_folder=../facades))
paris := $(if $(PARIS),data=paris_streetview data.root=$(PARIS) $(fronts),data=sample)
imagenet := $(if $(IMAGENET),data=imagenet data.root=$(IMAGENET),data=sample)
tested := data=folder 'data.split=[0,0,1]'
examples := $(if $(EXAMPLES),$(tested) data.root=$(EXAMPLES) 'data.pattern=real_*',$(imagenet))
photos := $(if $(PHOTOS),$(tested) data.root=$(PHOTOS),$(imagenet))

data_of = $(examples)
table1 table1_released_hole figure4: data_of = $(paris)
table1_imagenet l2_vs_adversarial activation middle failures: data_of = $(imagenet)
high_resolution: data_of = $(photos)

folder_of = $(OUT)/$@
figure4: folder_of = $(OUT)/table1

.PHONY: $(STUDIES)
$(STUDIES): $(VENV)/installed-removal
	code=0; $(BIN)/python -m inpaint.train +experiment=$@ size=$(SIZE) $(data_of) $(MORE) hydra.sweep.dir=$(folder_of) \
		|| code=$$?; if [ $$code -le 1 ] && [ $(SIZE) != tiny ]; then \
		$(BIN)/python -m experiments.report $(folder_of) --publish $@ || code=$$?; fi; exit $$code

.PHONY: reproduce
reproduce:  ## every table, figure and ablation, into experiments/RESULTS.md (SIZE=small: some five hours on one core; DATA=FOLDER)
	@failed=; for study in $(STUDIES); do $(MAKE) --no-print-directory $$study || failed="$$failed $$study"; done; \
	echo experiments/RESULTS.md; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }
