# Every target works as the first command on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup test integration slow study lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

test: $(READY)
	$(BIN)/pytest -n auto

integration: $(READY)
	$(BIN)/pytest -n auto -m integration

slow: $(READY)
	$(BIN)/pytest -n auto --dist load --maxschedchunk 1 -m slow

study: $(READY)
	$(BIN)/python -m deepcaptcha study

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
