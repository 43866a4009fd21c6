# Every target works as the first command on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
CONSTRAINTS ?= constraints.txt
SEED ?= fixed

.PHONY: setup test answer-test integration check browser slow confirm record ruler study explain picture docs tutorials confusion compare bench faults fuzz power mutants lint clean

setup: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

test: $(READY)
	$(BIN)/pytest -n auto

# The study of the question has tests of its own.
answer-test: $(READY)
	$(BIN)/pytest -n auto -m 'not slow' answer/tests

integration: $(READY)
	-@$(MAKE) --no-print-directory browser
	$(BIN)/pytest -n auto --maxschedchunk 1 -m integration

# Both at once: TensorFlow is loaded once a worker.
TESTS ?= tests

check: $(READY)
	-@$(MAKE) --no-print-directory browser
	$(BIN)/pytest -n auto --maxschedchunk 1 -m 'not slow' $(TESTS)

# Any Chromium or Chrome that is there will do for the report's test; else Debian's is installed.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -n)

browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  if command -v $$name > /dev/null; then exit 0; fi; \
	done; \
	$(ROOT) apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive $(ROOT) apt-get -qq install --no-install-recommends chromium

slow: $(READY)
	$(BIN)/pytest -n auto --maxschedchunk 1 -m slow --convergence-seed $(SEED) --convergence-report build/report.html

# Has anything changed? One recorded seed of each row, about a minute; where it comes again bit for bit, the
# recorded verdicts stand. KEEP=1 judges unchanged rows that have none on record, and records it.
KEEP ?=

confirm: $(READY)
	$(BIN)/pytest -n auto --maxschedchunk 1 -m slow tests/networks/test_convergence.py \
	  --convergence-confirm $(if $(KEEP),--convergence-record)

# The record that it confirms against, in slices: what the ledger in build/record holds is not trained again.
RECORD ?= --recipes sound-subset,raw-subset --seeds 8

record: $(READY)
	$(BIN)/python -m deepcaptcha study --stream baseline $(RECORD) \
	  --output build/record --baselines fixtures/baselines

# What rounding alone does to the recorded numbers: the record's seeds in other arithmetics, half an hour.
RULER ?= --recipes sound-subset --seeds 4

ruler: $(READY)
	$(BIN)/python -m deepcaptcha study --ruler $(RULER) \
	  --output build/record --baselines fixtures/baselines

study: $(READY)
	$(BIN)/python -m deepcaptcha study

# ANSWER.md and its figures, from the record in fixtures/.
explain: $(READY)
	$(BIN)/python -m answer explain

# The README's picture, of what `make study` trained.
picture: $(READY) browser
	$(BIN)/python -m deepcaptcha report
	$(BIN)/python -m docs.make_picture build/report.html pool4

docs: $(READY)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs build/docs

# The tutorials with the frameworks they are about and the wheel, in an environment that has nothing else.
TUTORIALS := build/tutorials

tutorials: $(READY)
	rm -rf $(TUTORIALS)
	$(BIN)/python -m hatchling build -t wheel -d $(TUTORIALS)
	$(PYTHON) -m venv $(TUTORIALS)/venv
	$(TUTORIALS)/venv/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) pytest-xdist \
	  "$$(ls $(TUTORIALS)/*.whl)[tutorials]"
	mkdir -p $(TUTORIALS)/run/tests $(TUTORIALS)/run/docs
	cp -r tests/tutorials $(TUTORIALS)/run/tests
	cp -r docs/tutorials $(TUTORIALS)/run/docs
	touch $(TUTORIALS)/run/pytest.ini
	cd $(TUTORIALS)/run && ../venv/bin/pytest -rs --strict-markers -o markers=integration tests/tutorials

# How often the true cause is named, on models of which it is known; writes docs/diagnosis.md.
# make confusion CONFUSION="first --repair"    one group, and nothing written
CONFUSION ?= all --repair --write

confusion: $(READY)
	$(BIN)/python -W ignore -m tests.confusion $(CONFUSION)

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
	  build/compare/$$side/venv/bin/python -m pip install --quiet "$$package" --editable '.[keras]' && \
	  build/compare/$$side/venv/bin/python -m deepcaptcha study $(ROWS) \
	    --output build/compare/$$side || exit 1; \
	done
	$(BIN)/python -m deepcaptcha compare build/compare/old/ledger build/compare/new/ledger

# Every fault that is claimed to cost nothing: thousands of changed bytes, cuts everywhere, kills, full disks.
FAULTS ?= 2000

faults: $(READY)
	DEEPCAPTCHA_FAULTS=$(FAULTS) $(BIN)/pytest -n auto -m 'not slow' tests/test_faults.py

# Names, numbers, arrays, files and command lines that nobody means to give: ten thousand inputs.
FUZZ ?= 1500

fuzz: $(READY)
	DEEPCAPTCHA_FUZZ=$(FUZZ) $(BIN)/pytest -n auto tests/test_fuzz.py

# make bench BENCH="cold-import kernel-share"   only these rows
# make bench SUITE=1                           and the quick suite's seconds
# make bench PEERS=path/to/python              an interpreter that has torch and pytest-probability
BENCH ?=
PEERS ?=

bench: $(READY)
	BENCH_PEERS="$(PEERS)" $(BIN)/python -m benchmarks $(BENCH) $(if $(SUITE),--suite)

# How often verdicts are red where nothing changed, and what they see; NIGHTS of each case.
NIGHTS ?= 200

power: $(READY)
	$(BIN)/python -m benchmarks.power --nights $(NIGHTS) --json build/power.json

# What the suite notices of harmful changes, and says of harmless ones; about 40 minutes of CPU, and what the
# ledger in build/mutants holds is not trained again. Writes docs/verdicts.md.
mutants: $(READY)
	$(BIN)/python -m benchmarks.mutants --write

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
