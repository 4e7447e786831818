# Every target sets up .venv first (see .ci/setup); a second run finds it ready.
#
#   make demo                     the whole path of a governed call, on real files
#   make test                     every part in under five minutes; PYTEST_ARGS="-k plan" narrows it
#   make test-all                 every test, with all examples and the coverage gate
#   make test-differential        the whole comparisons with OPA, from fixed seeds
#   make test-long                what grows without end: soaks, endless comparisons, examples
#   make check                    format, lint, types, tree, words, policies, docs
#   make bench                    measures, and writes docs/reference/benchmarks.md
#   make eval                     attacks and honest work on the real broker; DATA=folder for yours
#   make docs                     writes the generated pages of docs/ again
#   make fmt                      formats Python and Rego

BIN := .venv/bin
STAMP := .venv/.synced
PATH := $(CURDIR)/$(BIN):$(PATH)
export PATH

# Many an image sets it, and then each of the hundreds of processes would compile all there is.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-differential test-long check bench eval docs fmt clean
.PHONY: check-format check-lint check-types check-imports check-project check-policies check-docs

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml uv.lock .ci/setup
	@./.ci/setup
	@touch $@

demo: $(STAMP)
	wardline demo $(DEMO_ARGS)

# Many tests wait for a process more than they compute: one worker more than there are cores.
JOBS ?= $(shell expr $$(nproc) + 1)

test: $(STAMP)
	pytest -n $(JOBS) -m "not slow and not differential and not long" $(PYTEST_ARGS)

test-all: $(STAMP)
	JOBS=$(JOBS) ./.ci/test-all $(PYTEST_ARGS)

test-differential: $(STAMP)
	pytest -n $(JOBS) -m differential $(PYTEST_ARGS)

test-long: $(STAMP)
	pytest --hypothesis-profile=deep -m "differential or long or hypothesis" $(PYTEST_ARGS)

check: check-format check-lint check-types check-imports check-project check-policies check-docs

check-format: $(STAMP)
	ruff format --check .

check-lint: $(STAMP)
	ruff check .

check-types: $(STAMP)
	mypy
	MYPYPATH=tests/support mypy docs/generate.py tests/conftest.py

check-imports: $(STAMP)
	lint-imports

# The tree, the words of the glossary, the public names.
check-project: $(STAMP)
	pytest -q tests/project

# Our loader's lints and tests always; OPA's own when it is there, and said so when it is not.
check-policies: $(STAMP)
	wardline policy check policies
	wardline policy test policies
	@if command -v opa >/dev/null; then \
	    set -ex; \
	    opa check --strict --ignore schemas,starters policies; \
	    opa fmt --fail --list policies; \
	    opa test --ignore schemas,starters policies; \
	else \
	    echo "SKIPPED: opa check, opa fmt, opa test (no opa on PATH, see docs/CONTRIBUTING.md)"; \
	fi

check-docs: $(STAMP)
	python docs/generate.py --check

bench: $(STAMP)
	python tests/bench/run.py $(BENCH_ARGS)

# The shipped set; with DATA= all that the folder holds, in AgentDojo's environments.
EVAL := wardline eval
eval: $(STAMP)
ifdef DATA
	uv run --frozen --extra agentdojo $(EVAL) run --data $(DATA) --out $(or $(OUT),wardline-eval) $(EVAL_ARGS)
	if ls $(DATA)/*_airline_state.jsonl >/dev/null 2>&1; then $(EVAL) airline --data $(DATA); fi
	if ls $(DATA)/*_coding_agent.jsonl >/dev/null 2>&1; then $(EVAL) shell --data $(DATA); fi
else
	$(EVAL) run --out $(or $(OUT),wardline-eval) $(EVAL_ARGS)
endif

docs: $(STAMP)
	python docs/generate.py

fmt: $(STAMP)
	ruff format .
	ruff check --fix-only .
	@if command -v opa >/dev/null; then opa fmt --write policies; fi

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
