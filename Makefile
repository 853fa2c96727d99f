# Two commands set everything up on a machine with Python 3.11 or newer: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# what Python compiled for one process, the others need not compile again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow fuzz test-export test-package check format clean

demo: $(VENV)/.core
	$(BIN)/densevit segment examples/leuven_street.jpg --out out --format overlay,labels,json
	@echo "look at out/leuven_street.overlay.jpg"

PYTEST := $(BIN)/python -m pytest --quiet -n auto --dist worksteal

test: $(VENV)/.test check
	$(PYTEST) -m "not slow"

# Several processes at once, whole trainings, tools and benchmarks.
test-slow: $(VENV)/.test
	$(PYTEST) -m slow

# The property tests with other random examples each time, and more of them.
fuzz: $(VENV)/.test
	HYPOTHESIS_PROFILE=fuzz $(PYTEST)

# Every architecture of the zoo through both runtimes at full depth; `make test` runs one of each kind.
test-export: $(VENV)/.test
	DENSEVIT_FULL_DEPTH=1 $(PYTEST) tests/test_variant_contract.py

# Wheel and sdist, each installed into a clean environment and run there.
test-package: $(VENV)/.test
	$(BIN)/python tools/check_package.py

# Without its cache: what ruff remembers of an import's origin outlives a move of the module.
check: $(VENV)/.test
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --no-cache --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "densevit needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

# torch by its exact version first: an open-ended requirement would fetch gigabytes of CUDA. Where the package index
# has CUDA builds only: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
# Python compiles what it imports; compiling every file of these packages here would take half of the installation.
	$(PIP) --no-compile $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(PIP) --no-compile -e '.[test]'
	@touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) out
