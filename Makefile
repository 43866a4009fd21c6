# Every target works as the first command on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SEED ?= fixed

.PHONY: setup test integration slow study compare lint clean

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
	$(BIN)/pytest -n auto --maxschedchunk 1 -m slow --convergence-seed $(SEED)

study: $(READY)
	$(BIN)/python -m deepcaptcha study

# make compare OLD="tensorflow==2.19.*" NEW="tensorflow==2.21.*"
OLD ?=
NEW ?=
ROWS ?= --variants valid,pool4,stride2-first,same --seeds 12

compare: $(READY)
	@test -n "$(OLD)" && test -n "$(NEW)" || \
	  { echo 'make compare needs OLD="tensorflow==..." and NEW="tensorflow==..."'; exit 2; }
	for side in old new; do \
	  package="$(OLD)"; test $$side = old || package="$(NEW)"; \
	  $(PYTHON) -m venv build/compare/$$side/venv && \
	  build/compare/$$side/venv/bin/python -m pip install --quiet "$$package" --editable . && \
	  build/compare/$$side/venv/bin/python -m deepcaptcha study $(ROWS) \
	    --output build/compare/$$side || exit 1; \
	done
	$(BIN)/python -m deepcaptcha compare build/compare/old/ledger build/compare/new/ledger

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache
