# Developers and CI use the same targets. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
# Use uv from the PATH, or install it into a private environment, because system Pythons refuse `pip install`.
UV := $(shell command -v uv 2>/dev/null || echo .local/uv/bin/uv)
RUN := $(UV) run --frozen

include infra.mk delivery.mk

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.local/uv/bin/uv:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: install python3 and run make again."; exit 1; }
	@$(PYTHON) -m venv .local/uv 2>/dev/null || { rm -rf .local/uv; echo "This Python cannot create virtual environments: install python3-venv and run make again."; exit 1; }
	@.local/uv/bin/pip install --quiet "uv>=0.9"

.PHONY: uv
uv: $(filter .local/uv/bin/uv,$(UV)) ## install uv if it is missing

.PHONY: up
up: uv ## start the whole system on this machine
	@$(RUN) image-manager up $(ARGS)

.PHONY: test
# Where it is set, each of some hundred Python processes compiles all tests, or a whole service, for itself.
test: export PYTHONDONTWRITEBYTECODE :=
test: uv ## run all tests that need nothing outside this repository
	@$(RUN) $(GROUP:%=--group %) pytest $(ARGS)

.PHONY: mutations
mutations: uv ## remove each query condition in turn and check that a test fails: make mutations ARGS="path"
	@$(RUN) python -m scripts.mutations $(ARGS)

.PHONY: check
check: lint types imports docs-check test infra-check ## run all checks of CI except the long tests

.PHONY: lint
lint: uv ## check style and find common mistakes
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

.PHONY: types
types: uv ## check types, strictly
	@$(RUN) mypy -p image_core -p image_client -p image_engine -p image_api -p image_delivery -p image_processor -p local_cloud
	@$(RUN) mypy scripts tests/infra tests/delivery

.PHONY: imports
imports: uv ## check the import contracts
	@$(RUN) lint-imports

.PHONY: docs-check
docs-check: uv ## check that generated docs are up to date and links work
	@$(RUN) python scripts/check_docs.py

.PHONY: fmt
fmt: uv ## format the code
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

.PHONY: migration
migration: uv ## generate the next migration from the models: make migration NAME="what it does" (needs DATABASE_URL)
	@$(RUN) image-manager-admin autogenerate "$(NAME)"

.PHONY: screenshots
screenshots: uv ## take the screenshots of the console for the README and the docs (needs Chromium)
	@$(RUN) --group browser python scripts/screenshots.py

.PHONY: bench
bench: uv ## run the quick benchmarks; benchmarks/README.md lists the others
	@$(RUN) python -m benchmarks
