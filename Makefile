# Every target sets itself up: the virtual environment, its packages, and (for test) Debian's chromium.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
ALL := --numprocesses 3 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench bench-peers docs pictures security clean

demo: $(VENV)/.studio
	@$(BIN)/python -m examples.studio.demo

test: $(VENV)/.test
	@$(BIN)/python tests/servers.py
	@$(BIN)/python -m pytest $(or $(ARGS),$(ALL))

check: $(VENV)/.test $(VENV)/.check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.peers $(ARGS)

security: $(VENV)/.test
	@$(BIN)/python -m tests.security.table $(ARGS)

docs: $(VENV)/.test
	@$(BIN)/python -m docs.generate

pictures: $(VENV)/.test $(VENV)/.pictures
	@$(BIN)/python -m docs.pictures $(ARGS)
	@$(BIN)/python -m docs.screens

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Narrowboat needs Python 3.11 or newer with venv (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.%: pyproject.toml | $(VENV)/bin/python
	@echo "setting up: $*"
	@$(PIP) -e '.[$*]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo "setting up: test"
	@$(PIP) -e '.[test,studio]'
	@touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	@echo "setting up: bench"
	@$(PIP) -e '.[bench,studio]'
	@touch $@

clean:
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
