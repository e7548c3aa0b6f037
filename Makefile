# The commands of this repository; every one works on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A CPU build of torch is enough; where pip would choose a CUDA build, set
# PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu".
PIP_OPTIONS ?=
TESTS := -n 2 --dist worksteal

.PHONY: demo test test-all lint bench bench-search reproduce-cifar10 reproduce-quick package clean

demo: $(VENV)/small
	$(BIN)/rhnas search digits --out runs/demo --resume
	$(BIN)/rhnas build runs/demo
	$(BIN)/rhnas verify runs/demo --images 20

test: $(VENV)/all lint
	$(BIN)/python -m pytest $(TESTS)

test-all: $(VENV)/all lint
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/all
	for name in realizability cost_model simulator compiled_layers; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Every table of docs/results that is about searching. Networks' tables are read from RHNAS_DATA (docs/bench.md).
# Seeds of the benches that are missing under results/ are played; the rest prints what is there.
bench-search: $(VENV)/all
	$(BIN)/rhnas bench --out results/bench --resume
	$(BIN)/python benchmarks/bench_table.py
	$(BIN)/python benchmarks/joint_front.py
	$(BIN)/python benchmarks/ablations.py --table
	$(BIN)/python benchmarks/tuned_agents.py --table
	for space in vta-intel vta; do $(BIN)/python benchmarks/pretrained.py --table results/agents/pretrained-$$space.json || exit 1; done
	$(BIN)/python benchmarks/expensive.py --table
	$(BIN)/python benchmarks/supernet_rank.py --table

# Stages whose artefact is under results/ are skipped; HEADLINE="--limit-minutes 75" ends between two epochs, and the
# same command goes on. On a GPU: make reproduce-cifar10 PRESET=cifar10-wide CELLS="a0 a1 a2 b0 b1 b2 c0 c1 c2".
PRESET ?= cifar10-cpu
CELLS ?= a0 b0 c0 a1 a2
HEADLINE ?=
reproduce-cifar10: $(VENV)/all
	$(BIN)/python benchmarks/headline.py $(PRESET) --cells $(CELLS) $(HEADLINE)
	$(BIN)/python benchmarks/headline.py $(PRESET) --cells $(CELLS) --table

# Without what results/ already holds, and without synthesis.
reproduce-quick: $(VENV)/all
	$(BIN)/python benchmarks/headline.py cifar10-quick --cells a0 --results runs/quick --no-synthesize $(HEADLINE)
	$(BIN)/python benchmarks/headline.py cifar10-quick --cells a0 --results runs/quick --table
	$(BIN)/rhnas front runs/quick/cifar10-quick-seed0 --out runs/quick/front.html

package: $(VENV)/all
	bash scripts/package.sh $(BIN)/python

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rhnas needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "rhnas needs the venv module: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/small: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing (about 1.2 GB, mostly torch; a few minutes the first time)"
	@$(PIP) $(PIP_OPTIONS) -c constraints.txt -e .
	@touch $@

$(VENV)/all: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing with all extras"
	@$(PIP) $(PIP_OPTIONS) -c constraints.txt -e ".[rl,hardware,onnx,dev]"
	@touch $@ $(VENV)/small
