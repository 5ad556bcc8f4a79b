# Plain `make` lists the targets. All of them set up what they need; a second call loses no time on it.
.DEFAULT_GOAL := help
.PHONY: help setup quickstart check lint types unit test test-slow format clean
.SUFFIXES:

# What .venv is made with: make setup PYTHON=python3.12
PYTHON ?= python3
# Processes that share the tests out.
PYTEST_WORKERS ?= 2
# More for pytest: make test ARGS="tests/config -k include"
ARGS ?=
QUICKSTART_DATA ?= $(CURDIR)/data/synthetic-speech-commands
QUICKSTART_RUN ?= $(CURDIR)/runs/quickstart

VENV := .venv
STAMP := $(VENV)/.set-up
BIN := $(CURDIR)/$(VENV)/bin
# Compiled once: compiling anew in every process would be a third of the fast tests' time.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := "$(BIN)/python" -m pytest -n $(PYTEST_WORKERS) --dist worksteal

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv with all that is needed to run, test and develop
	@:

quickstart: $(STAMP) ## Make a small synthetic corpus, train keyword spotting on it, print the report's path
	@"$(BIN)/speechkit" synth speech-commands "$(QUICKSTART_DATA)"
	@cd recipes/SpeechCommands/kws && "$(BIN)/python" train.py hparams/quickstart.yaml \
		--data_folder "$(QUICKSTART_DATA)" --output_folder "$(QUICKSTART_RUN)"

check: lint types unit ## Lint, types and fast tests: under 90 seconds

lint: $(STAMP)
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .

types: $(STAMP)
	@"$(BIN)/mypy"

unit: $(STAMP)
	@$(PYTEST) -m "not integration and not slow" $(ARGS)

test: $(STAMP) ## Fast and integration tests: under 15 minutes
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMP) ## The long tests alone: under 45 minutes
	@$(PYTEST) -m slow $(ARGS)

format: $(STAMP) ## Put the code in its usual form
	@"$(BIN)/ruff" check --fix .
	@"$(BIN)/ruff" format .

clean: ## Delete caches; data, runs and .venv stay
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print -prune -exec rm -rf {} + >/dev/null
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis dist

$(STAMP): pyproject.toml uv.lock .ci/set-up
	@.ci/set-up $(PYTHON) $(VENV)
	@touch $@
