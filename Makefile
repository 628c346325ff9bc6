# What everyone runs. `make demo` and `make test` set up what they need on a fresh machine.
PYTHON ?= python3
GOLDEN ?= ../shared/golden
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test check golden bench clean

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(READY)
	rm -rf demo
	$(BIN)/sitsinfer simulate demo/scene --size 512 --dates 30 --seed 2024
	$(BIN)/sitsinfer segment --ts demo/scene/sentinel2 --out demo/map.tif --quicklook demo/map.png
	$(BIN)/sitsinfer evaluate segmentation demo/map.tif demo/scene/truth/classes.tif

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest

golden: $(READY)
	$(BIN)/python -m tests.golden $(GOLDEN)

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
