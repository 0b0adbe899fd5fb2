# Every target makes its own .venv; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick check format bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.run: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --editable '.[demo,test]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[demo,test,bench]'
	@touch $@

demo: $(VENV)/.run  ## make a full-size scene and run the main job on it
	$(BIN)/landsat-downsample demo

test: $(VENV)/.test  ## run all tests, slow ones too
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-quick: $(VENV)/.test  ## run the quick tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

check: $(VENV)/.test  ## lint, format, metadata
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pip check

format: $(VENV)/.test  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## measure against peers
	$(BIN)/python -m benchmarks

clean:  ## remove what make made
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .ruff_cache .hypothesis
