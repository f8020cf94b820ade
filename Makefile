# Each target makes the environment it needs; nothing but Python >= 3.11 and pip is expected.
PYTHON ?= python3
RUN := runs/demo
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what is imported, once; pip would compile all of PyTorch first, in half a minute.
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

# One thread a worker; bytecode is kept whatever the environment says, since tests start many processes.
TEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-fast lint clean

demo: $(VENV)/.installed
	rm -rf $(RUN)
	PYTHONDONTWRITEBYTECODE= $(BIN)/undiffuse demo --out $(RUN)

test: $(VENV)/.tested
	$(TEST)

test-fast: $(VENV)/.tested
	$(TEST) -m "not slow" --few 2 tests/exact tests/contract tests/data tests/recipes

lint: $(VENV)/.linted
	$(BIN)/ruff check src tests tools benchmarks docs
	$(BIN)/ruff format --check src tests tools benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist runs/demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) -e ".[test]"
	touch $@

$(VENV)/.linted: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@
