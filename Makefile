# Two commands matter: `make serve` and `make test`. Both work on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: serve test check unit whole fmt docs bench train clean

serve: .venv/.serve
	$(BIN)/polyvec serve $(ARGS)

test: check unit whole

# Lint, format, types, import directions, generated documents.
check: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check -I . README.md docs/performance.md

# Under three minutes on two cores.
unit: .venv/.test
	$(BIN)/python -m pytest -n 2 -m "not whole" $(ARGS)

# Whole models against their references, and whole processes.
whole: .venv/.test
	$(BIN)/python -m pytest -n 2 -m whole $(ARGS)

fmt: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrites the generated blocks of the documents.
docs: .venv/.test
	$(BIN)/cog -r -I . README.md docs/performance.md

bench: .venv/.test
	$(BIN)/python -m bench $(ARGS)

# Reproduces the bundled demo model; about an hour on two cores.
train: .venv/.test
	$(BIN)/python -m training.train --out build/demo $(ARGS)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A new pip, because the one that comes with Python 3.11 does not know dependency groups.
.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/.serve: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[video]"
	touch $@

# torch is wanted by tests only, and pinned to the CPU wheel; see constraints-test.txt.
.venv/.test: .venv/bin/python pyproject.toml constraints-test.txt
	$(BIN)/python -m pip install --quiet --constraint constraints-test.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints-test.txt \
		--editable . --group test --group lint
	touch $@ .venv/.serve
