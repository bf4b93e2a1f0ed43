# Two commands matter: `make serve` and `make test`. Both work on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: serve test check unit whole clients fmt docs bench train clean

serve: .venv/.serve
	$(BIN)/polyvec serve $(ARGS)

test: check unit whole clients

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

# Published clients of other servers against a polyvec process, in environments of their own.
clients: .venv/.test .venv-clients/.done .venv-clients-cohere5/.done
	.venv-clients/bin/python -m pytest tests/clients $(ARGS)

fmt: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrites the OpenAPI document, and the generated blocks of the documents.
docs: .venv/.test
	$(BIN)/python -m polyvec.tools.openapi
	$(BIN)/cog -r -I . README.md docs/performance.md

bench: .venv/.test
	$(BIN)/python -m bench $(ARGS)

# Reproduces the bundled demo model; about an hour on two cores.
train: .venv/.test
	$(BIN)/python -m training.train --out build/demo $(ARGS)

clean:
	rm -rf .venv .venv-clients .venv-clients-cohere5 tests/clients/node/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

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

CLIENT_NODE := tests/clients/node
CLIENT_INPUTS := pyproject.toml constraints-test.txt $(CLIENT_NODE)/package-lock.json

.venv-clients/.done: $(CLIENT_INPUTS)
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-clients/bin/python -m pip install --quiet \
		--constraint constraints-test.txt --group clients
	PATH="$(CURDIR)/.venv-clients/bin:$$PATH" npm ci --prefix $(CLIENT_NODE) \
		--no-audit --no-fund --loglevel=error
	touch $@

.venv-clients-cohere5/.done: pyproject.toml
	$(PYTHON) -m venv .venv-clients-cohere5
	.venv-clients-cohere5/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-clients-cohere5/bin/python -m pip install --quiet --group clients-cohere5
	touch $@
