# Each target does all set-up on a fresh machine: it makes .venv, installs what was tested, and runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/installed
	$(BIN)/ceiba train recipes/demo.yaml --out runs/demo --replace
	
test: check
	$(BIN)/pytest -n 2 --dist loadscope

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf .venv runs
