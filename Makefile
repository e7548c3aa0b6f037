# The commands of this repository; every one works on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A CPU build of torch is enough; where pip would choose a CUDA build, set
# PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu".
PIP_OPTIONS ?=
TESTS := -n 2 --dist worksteal

.PHONY: demo test test-all lint bench bench-search package clean

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

# Tables are read from RHNAS_DATA (docs/bench.md); finished seeds are kept.
bench-search: $(VENV)/all
	$(BIN)/rhnas bench --out results/bench --resume
	$(BIN)/python benchmarks/joint_front.py

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
