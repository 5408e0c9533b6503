# Each target sets up what it needs: .venv is made when it is missing and reused when it is there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Small tensors: more than one thread only costs time.
QUICK  := COURSE_PROFILE=test OMP_NUM_THREADS=1

.PHONY: help setup demo test lab lessons figures lint colab-test wheel lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo        train on the embedded magazine pages, restore scanned pages, write a page to look at"
	@echo "make lab         open the lessons in JupyterLab"
	@echo "make test        run the tests"
	@echo "make lessons     rebuild the notebooks from lessons/source"
	@echo "make figures     run all lessons in full and keep what they measured (lessons/measured.json): 17 minutes"
	@echo "make lint        ruff, and the check that the notebooks match their sources"
	@echo "make colab-test  the tests again, with exactly the package versions that Google Colab has"
	@echo "make wheel       the wheel that the first cell of a lesson installs (dist/)"
	@echo "make lock        pin the newest package versions within pyproject.toml's ranges (constraints/local.txt)"

setup: $(READY)

# uv installs the same wheels as pip, several times faster, and shares them between environments.
$(READY): pyproject.toml constraints/local.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed; $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once; about 5.5 GB, most of it torch) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade uv
	@$(BIN)/uv pip install --python $(BIN)/python --constraint constraints/local.txt --editable '.[lab,live,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/course demo --out runs/demo

test: $(READY)
	@$(QUICK) $(BIN)/python -m pytest

lab: $(READY)
	@$(BIN)/jupyter lab --notebook-dir=lessons/en $(if $(filter 0,$(shell id -u)),--allow-root)  # root: in a container

lessons: $(READY)
	@$(BIN)/course lessons build

# On a machine with nothing else to do, and with the standard sets (COURSE_BENCHMARKS): lessons are held to these figures.
# After a change to one lesson, make figures LESSONS=06 runs that one alone.
figures: $(READY)
	@$(BIN)/course lessons run $(or $(LESSONS),--all) --figures --solution --profile cpu --out runs/lessons; status=$$?; \
		cp runs/lessons/measured.json lessons/measured.json; exit $$status

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/course lessons build --check

# Colab's versions in an environment of their own; then the kit goes in as a student's Colab would get it, and must change nothing.
COLAB := .venv-colab
# Marks are given on the instructor's machine: the sandbox and its classes need no second look. Checks and lessons do.
NOT_ON_COLAB := --ignore tests/attacks --ignore tests/lessons/test_both_ways.py --ignore tests/grading/test_classes.py
colab-test: wheel
	@$(MAKE) --no-print-directory $(COLAB)/.ready
	@$(BIN)/uv pip install --quiet --python $(COLAB)/bin/python --no-deps --reinstall dist/*.whl
	@$(QUICK) $(COLAB)/bin/python -m pytest $(NOT_ON_COLAB)

# A fresh one each time: what an earlier attempt added would hide that the kit adds it.
$(COLAB)/.ready: constraints/colab.txt pyproject.toml | $(READY)
	@echo "Setting up $(COLAB) ..."
	@$(PYTHON) -m venv --clear $(COLAB)
	@$(BIN)/uv pip install --python $(COLAB)/bin/python --requirement constraints/colab.txt
	@$(BIN)/uv pip freeze --python $(COLAB)/bin/python > $(COLAB)/before.txt
	@$(BIN)/uv pip install --python $(COLAB)/bin/python dist/*.whl
	@$(BIN)/uv pip freeze --python $(COLAB)/bin/python --exclude course-utils > $(COLAB)/after.txt
	@diff $(COLAB)/before.txt $(COLAB)/after.txt || { echo "Installing the kit changed the packages above: widen its range in pyproject.toml"; exit 1; }
	@echo "Installing the kit changed none of Colab's packages."
	@touch $@

wheel: $(READY)
	@rm -rf dist
	@$(BIN)/uv build --quiet --wheel --out-dir dist
	@ls dist/*.whl

lock: $(READY)
	@printf 'torch==2.11.0\ntorchvision==0.26.0\n' > $(VENV)/as-on-colab.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--all-extras --no-emit-package course-utils --upgrade --constraint $(VENV)/as-on-colab.txt \
		pyproject.toml --output-file constraints/local.txt

clean:
	rm -rf $(VENV) $(COLAB) dist runs .pytest_cache .ruff_cache .hypothesis
