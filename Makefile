# Everything runs in a virtual environment that the first target sets up. PYTHON must be 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A part of the tests on each processor: many of them wait for servers and workers that they start.
TESTS := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: demo test check format fuzz bench bench-clusters serve openapi train wheelhouse clean

# What serving needs: no torch.
$(VENV)/.serving: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	touch $@

# What training and the checks need, on top.
$(VENV)/.development: $(VENV)/.serving
	$(PIP) install -c constraints.txt -e '.[train,dev]'
	touch $@

demo: $(VENV)/.serving
	$(BIN)/musannif classify data/samples --format table

test: $(VENV)/.development
	$(TESTS)

check: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/musannif data check
	$(BIN)/musannif bundle verify
	$(TESTS)

# Generated requests to every endpoint: longer than the other checks. FUZZ_CASES is how many.
fuzz: $(VENV)/.development
	$(BIN)/python -m pytest tests/fuzz_service.py

format: $(VENV)/.development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.development
	$(BIN)/python -m training.benchmark
	$(BIN)/python -m service.benchmark

# What clustering is compared with, on top.
$(VENV)/.comparison: $(VENV)/.development
	$(PIP) install -c constraints.txt -e '.[train,dev,bench]'
	touch $@

bench-clusters: $(VENV)/.comparison
	$(BIN)/python -m training.cluster_benchmark

serve: $(VENV)/.serving
	$(BIN)/musannif serve

# The description of the HTTP interface that is kept in docs/; a test compares it with the app.
openapi: $(VENV)/.serving
	$(BIN)/musannif openapi > docs/openapi.json

# The default model is the mean of two runs.
train: $(VENV)/.development
	$(BIN)/musannif train --seed 1 --run runs/seed-1
	$(BIN)/musannif train --seed 2 --run runs/seed-2
	$(BIN)/musannif average runs/seed-1 runs/seed-2 --run runs/default

# All that an installation without a network needs: wheels, and their SHA-256 as pip checks them.
wheelhouse: $(VENV)/.serving
	rm -rf build/wheelhouse
	$(PIP) wheel -c constraints.txt -w build/wheelhouse '.[postgres,redis]'
	cd build/wheelhouse && sha256sum *.whl \
	    | awk '{split($$2, part, "-"); print part[1] "==" part[2] " --hash=sha256:" $$1}' > requirements.txt

clean:
	rm -rf $(VENV) runs build dist
