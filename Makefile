# Everything from a fresh clone: `make demo` and `make test` set up their own virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS ?= 2
export OMP_NUM_THREADS ?= 2

.PHONY: demo test slow test-matrix reliability bounds mutation mutations-ten lint types layers docs check package audit coverage clean

demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py --out demo

# Two processes of one thread each: most tests are too small for several threads.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not gpu" tests

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m "slow and not gpu" tests

# The stamp files make the set-up run once, and again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group test
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev --group doc
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps --group doc-cellrank
	touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy --config-file benchmarks/mypy.ini benchmarks

layers: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -j $(WORKERS) -W --keep-going -b html docs docs/_build/html

check: test lint types layers docs

# Both generations of the ecosystem with our own warnings as errors. The newest torch is several GB: not part of .ci/run.
test-matrix: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow and not gpu" tests
	bash .ci/matrix

# Faults, hostile files and every form of data; docs/reliability.md keeps the counts that it prints at the end.
RELIABILITY = tests/reliability tests/public/test_variants.py tests/public/test_refusals.py tests/state_pairs/test_stack.py
reliability: $(VENV)/.test
	$(BIN)/python -m pytest -q --disable-warnings $(RELIABILITY)

# Every compiled loop with its indices checked. Checked code is kept apart: numba would go on using it, or the unchecked one.
COMPILED = tests/training tests/networks/test_solver.py tests/networks/test_influence.py tests/screens/test_field.py \
	tests/screens/test_equilibrium.py tests/paired/test_fit.py
bounds: $(VENV)/.test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/numba-boundscheck $(BIN)/python -m pytest -q \
		-m "not slow and not gpu" $(COMPILED)

# Wrong lines put into the glue one at a time (pyproject.toml says where): at least 95 % must be found by a test, and the others
# are listed with a reason in tests/mutation_survivors.toml. One thread: mutants run in forks, several at once.
mutation: $(VENV)/.dev
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/python tests/mutation_score.py

# Ten wrong lines that once left all tests green, and the same ideas in their callers (tests/glue/mutations.toml), each
# applied in a copy: the tests that are named for it must fail.
mutations-ten: $(VENV)/.test
	$(BIN)/python tests/glue/apply_mutations.py

coverage: $(VENV)/.test
	$(BIN)/python -m pytest -m "not gpu" --cov --cov-report=term-missing:skip-covered tests

package: $(VENV)/.package
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

audit: $(VENV)/.package
	$(BIN)/python -m pip_audit --skip-editable

$(VENV)/.package: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group package
	touch $@

clean:
	rm -rf $(VENV) demo mutants docs/_build .mypy_cache .ruff_cache .pytest_cache
