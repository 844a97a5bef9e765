# make demo and make test are the whole set-up: they install into .venv what they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test screenshots bench clean

install: .venv/installed

# Where Python lacks ensurepip, venv fails and leaves .venv/bin/python without pip: the next make is to try again.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: install
	$(BIN)/python Testing/demo/make_demo.py

# Threads that spin while they wait make tests, whose networks are tiny, several times slower where cores are shared.
test: export OMP_WAIT_POLICY ?= PASSIVE
test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest

screenshots: install
	$(BIN)/python Testing/screenshots/make_screenshots.py

bench: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python Testing/benchmarks/run.py

clean:
	rm -rf .venv demo build bench .pytest_cache .ruff_cache .hypothesis SparseSegTrainer/*.egg-info
