# demo and test need nothing but Python >= 3.11 and make: they create .venv and fill it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
NEEDS := pyproject.toml constraints.txt

.PHONY: help demo test soak lint proto facade wheel bench clean

help: ## What can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: $(VENV)/.demo ## The main job on the generator that ships; leaves graftscope-report/index.html
	$(BIN)/graftscope demo --out graftscope-report

test: $(VENV)/.dev ## All tests but the longest; pass more to pytest with ARGS="..."
	$(BIN)/python -m pytest -m "not soak" -n 2 --dist loadfile $(ARGS)

soak: $(VENV)/.dev ## The tests that take longer
	$(BIN)/python -m pytest -m soak $(ARGS)

lint: $(VENV)/.dev wheel ## Style, types, arrows between rooms, the contract, the wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHON=$(PYTHON) proto/generate.sh check
	$(BIN)/python tools/facade.py check
	$(BIN)/buf lint .venv-proto/image.binpb --config buf.yaml
	$(BIN)/buf breaking .venv-proto/image.binpb --against proto/settled.binpb --config buf.yaml

proto: ## Generate graftscope.v1 anew from its .proto files
	PYTHON=$(PYTHON) proto/generate.sh

facade: $(VENV)/.dev ## Write the methods of both clients anew from requests and flows
	$(BIN)/python tools/facade.py

wheel: $(VENV)/.dev ## Build the wheel and import the client from it, without extras
	PYTHON=$(PYTHON) tests/wheel.sh

bench: $(VENV)/.dev ## What this engine costs, against torch and others; parts with ARGS="..."
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove what was built and installed
	rm -rf $(VENV) .venv-proto build dist .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(NEEDS) | $(BIN)/python
	@echo "installing what the demo needs into $(VENV) (no torch) ..."
	$(PIP) --editable '.[server,report]'
	@touch $@

# torch first and by its exact version, so that nothing asks for a newer one.
$(VENV)/.dev: $(NEEDS) | $(BIN)/python
	@echo "installing everything into $(VENV) ..."
	$(PIP) 'torch==2.13.0'
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo
