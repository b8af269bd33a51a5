# demo and test need nothing but Python >= 3.11 and make: they create .venv and fill it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SHORT := not soak and not compat
NEEDS := pyproject.toml constraints.txt

.PHONY: help demo deploy-try test soak compat lint proto facade settings page tutorials docs wheel bench clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: $(VENV)/.demo ## The main job on the generator that ships; leaves graftscope-report/index.html
	$(BIN)/graftscope demo --out graftscope-report

# An environment of its own, because it has the ONNX Runtime for CPUs, which goes with no other.
deploy-try: .venv-deploy/.done ## Two replicas, PostgreSQL and a balancer; one replica is killed
	.venv-deploy/bin/python deploy/try.py

.venv-deploy/.done: $(NEEDS)
	@echo "installing a server into .venv-deploy ..."
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[server-cpu,postgresql]'
	@touch $@

# What fails beside other tests is run once more by itself, and the first that fails then ends it:
# CONTRIBUTING.md says why, and what is to be done about a test that passes only there.
test: $(VENV)/.dev ## All tests but the longest; pass more to pytest with ARGS="..."
	$(BIN)/python -m pytest -m "$(SHORT)" -n 2 --dist loadfile $(ARGS) || \
	{ [ $$? -eq 1 ] && echo "make test: once more by itself, what failed beside other tests" && \
	$(BIN)/python -m pytest -m "$(SHORT)" --last-failed --exitfirst; }

soak: $(VENV)/.dev ## The tests that take longer
	$(BIN)/python -m pytest -m soak $(ARGS)

compat: $(VENV)/.dev ## Other people's clients, servers and clusters, in environments of their own
	$(BIN)/python -m pytest -m compat $(ARGS)

lint: $(VENV)/.dev wheel docs ## Style, types, arrows between rooms, the contract, the wheel, the pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHON=$(PYTHON) proto/generate.sh check
	$(BIN)/python tools/facade.py check
	$(BIN)/python tools/settings.py check
	$(BIN)/python tools/page.py check
	$(BIN)/buf lint .venv-proto/image.binpb --config buf.yaml
	$(BIN)/buf breaking .venv-proto/image.binpb --against proto/settled.binpb --config buf.yaml

proto: ## Generate graftscope.v1 and graftscope.inference.v2 anew from their .proto files
	PYTHON=$(PYTHON) proto/generate.sh

facade: $(VENV)/.dev ## Write the methods of both clients anew from requests and flows
	$(BIN)/python tools/facade.py

settings: $(VENV)/.dev ## Write what others know of a server's settings anew
	$(BIN)/python tools/settings.py

page: ## Build the explorer's page anew (needs node >= 20); commit the result
	cd explorer/page && npm ci --no-audit --no-fund && npm run check && npm run build
	$(PYTHON) tools/page.py write

tutorials: $(VENV)/.dev ## Run the notebooks of docs/tutorials, and keep what they print
	$(BIN)/python tools/notebooks.py

docs: $(VENV)/.dev ## Build the documentation site into build/site, and follow its links
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs build/site
	$(BIN)/python -m tools.documents.check build/site

wheel: $(VENV)/.dev ## Build the wheel and import the client from it, without extras
	PYTHON=$(PYTHON) tests/wheel.sh

bench: $(VENV)/.dev ## What this engine costs, against torch and others; parts with ARGS="..."
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove what was built and installed
	rm -rf $(VENV) .venv-compat .venv-deploy .venv-proto explorer/page/node_modules build dist .mypy_cache .ruff_cache .pytest_cache

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
