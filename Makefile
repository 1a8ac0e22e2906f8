# Each target does all set-up on a fresh machine: it makes .venv, installs what was tested, and runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check pictures clean

demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/ceiba train recipes/demo.yaml --out runs/demo

test: check
	$(BIN)/pytest -n 2 --dist loadscope

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,tune,hf,json,translation,gguf,dev]'
	@touch $@

# The pictures of the documentation; needs chromium on the path.
pictures: .venv/installed
	rm -rf runs/pictures
	$(BIN)/ceiba train recipes/demo.yaml --out runs/pictures/report
	$(BIN)/ceiba train examples/california_housing.csv --target ocean_proximity --out runs/pictures/classes \
	  --set 'evaluate.slices=[housing_median_age]'
	$(call shoot,report,1000)
	$(call shoot,classes,1740)

shoot = chromium --headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --hide-scrollbars \
  --user-data-dir=$(CURDIR)/runs/pictures/browser --window-size=1200,$(2) --screenshot=$(CURDIR)/docs/pictures/$(1).png \
  file://$(CURDIR)/runs/pictures/$(1)/bundle/report.html

clean:
	rm -rf .venv runs
