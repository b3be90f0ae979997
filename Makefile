# Each target works on a fresh machine: it does its own set-up, and only once.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench docs format clean
SHELL := /bin/bash
EXTRAS ?=
TASK ?= pnp_table
export EXTRAS
BIN := .venv/bin
# The engine's tests run on the CPU as well, wherever Isaac Lab can be installed; its types are checked there.
WITH_ISAACLAB := $(strip $(EXTRAS) $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),isaaclab))

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create .venv with everything `grail run` needs (EXTRAS="isaaclab wandb" for more)
	@requirements/setup.sh core

demo: setup ## Train for about a minute on this machine and show what came of it
	@$(BIN)/grail demo

# A file is one worker's: fixtures of a module are made once, and a process builds one Isaac Lab simulation after another.
test: ## Run the test suite, on up to four cores (ARGS="-n 0 -x tests/envs" for a part of it in one process)
	@EXTRAS="$(WITH_ISAACLAB)" requirements/setup.sh core dev
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: ## Check style, types and the layering
	@EXTRAS="$(WITH_ISAACLAB)" requirements/setup.sh core dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/basedpyright

format: ## Rewrite the sources in the project's style
	@requirements/setup.sh core dev
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: ## Measure what docs/benchmarks.md claims (TASK=pnp_ground ARGS="--num-envs 1024,4096" for another size)
	@requirements/setup.sh core dev
	@for name in startup engine env ppo train; do \
		echo "== grail bench $$name"; $(BIN)/grail bench $$name --task $(TASK) $(ARGS) || exit 1; done
	@echo "== grail bench motion"; $(BIN)/grail bench motion

docs: ## Regenerate the reference pages and check every link between pages
	@requirements/setup.sh core dev
	@$(BIN)/python docs/build.py

clean: ## Remove build products and caches (not runs, not .venv)
	@rm -rf build dist *.egg-info plugins/*/*.egg-info .pytest_cache .ruff_cache .import_linter_cache
