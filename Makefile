# Every target lays .venv first (see .ci/setup); a second run finds it ready.
#
#   make demo                     the whole path of a governed call, on real files
#   make test                     the test suite; PYTEST_ARGS="tests/unit -k plan" narrows it
#   make check                    format, lint, types, import contracts, policies, docs
#   make coverage                 the suite with branch coverage and its gate, on two cores
#   make bench                    measures, and writes docs/reference/benchmarks.md
#   make docs                     writes the generated pages of docs/ again
#   make fmt                      formats Python and Rego

BIN := .venv/bin
STAMP := .venv/.synced
PATH := $(CURDIR)/$(BIN):$(PATH)
export PATH

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench docs fmt coverage clean
.PHONY: check-format check-lint check-types check-imports check-policies check-docs

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml uv.lock .ci/setup
	@./.ci/setup
	@touch $@

demo: $(STAMP)
	wardline demo $(DEMO_ARGS)

test: $(STAMP)
	pytest $(PYTEST_ARGS)

coverage: $(STAMP)
	./.ci/coverage $(PYTEST_ARGS)

check: check-format check-lint check-types check-imports check-policies check-docs

check-format: $(STAMP)
	ruff format --check .

check-lint: $(STAMP)
	ruff check .

check-types: $(STAMP)
	mypy
	mypy docs/generate.py tests/conftest.py

check-imports: $(STAMP)
	lint-imports

# Our loader's lints and tests always; OPA's own when it is there, and said so when it is not.
check-policies: $(STAMP)
	wardline policy check policies
	wardline policy test policies
	@if command -v opa >/dev/null; then \
	    set -ex; \
	    opa check --strict --ignore schemas policies; \
	    opa fmt --fail --list policies; \
	    opa test --ignore schemas policies; \
	else \
	    echo "SKIPPED: opa check, opa fmt, opa test (no opa on PATH, see docs/CONTRIBUTING.md)"; \
	fi

check-docs: $(STAMP)
	python docs/generate.py --check

bench: $(STAMP)
	python tests/bench/run.py $(BENCH_ARGS)

docs: $(STAMP)
	python docs/generate.py

fmt: $(STAMP)
	ruff format .
	ruff check --fix-only .
	@if command -v opa >/dev/null; then opa fmt --write policies; fi

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
