# Everything runs in .venv, which `make install` makes from the lock; no step by hand comes before.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed

.DELETE_ON_ERROR:
.PHONY: install run test check long model demo bench openapi lint types contracts openapi-current lock

install: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

run: $(STAMP)
	$(BIN)/consent-service serve --port $(PORT) --with-examples --show-key

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

check: lint types contracts openapi-current test

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/deptry src
	$(BIN)/hadolint Dockerfile

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

openapi: $(STAMP)
	$(BIN)/consent-service openapi > openapi/openapi.json

openapi-current: $(STAMP)
	$(BIN)/consent-service openapi | diff -u openapi/openapi.json - || \
	  { echo "openapi/openapi.json is not what the code says; run: make openapi"; exit 1; }

# The same harnesses as in the suite, at their full figures; but for the stateful model, which is `make model`.
long: $(STAMP)
	CONSENT_TEST_FULL=1 $(BIN)/python -m pytest -n 2 -m full --ignore=tests/model --durations=10

# The stateful model: 20,000 examples of 100 steps on each database, in 100 parts with seeds of their own.
model: $(STAMP)
	CONSENT_TEST_FULL=1 $(BIN)/python -m pytest -n 2 tests/model

demo: $(STAMP)
	$(BIN)/consent-service demo

bench: $(STAMP)
	$(BIN)/python -m benchmarks

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet pyproject.toml --group dev -o requirements-dev.lock
