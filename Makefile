# Short names for what README says. Needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BACKEND ?= tensorflow
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO := $(VENV)/demo

.PHONY: demo test test-tensorflow test-jax test-torch bench docs wheel lint clean

# Train on the embedded digits, evaluate, export, predict from the exported file.
demo: $(VENV)/.ready-$(BACKEND)
	KERAS_BACKEND=$(BACKEND) TF_CPP_MIN_LOG_LEVEL=3 sh examples/demo.sh $(BIN) $(DEMO)

# The suite on the three backends, one after the other, two processes each.
test: test-tensorflow test-jax test-torch

# One thread per process: the two processes have a core each. XLA takes most of the time
# on JAX, and compiles the same small steps again and again: it keeps them.
test-tensorflow test-jax test-torch: test-%: $(VENV)/.ready-test $(VENV)/.ready-browser
	KERAS_BACKEND=$* OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 \
		JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/jax-cache \
		JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
		$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=10

bench: $(VENV)/.ready-test
	for script in patch_embedding memory litert parameter_counts parity_preprocessing \
			input_pipeline distribution fine_tuning ablation recipes quantization predict_memory; do \
		$(BIN)/python benchmarks/$$script.py || exit 1; done
	for script in import_time speed load_speed digits parity_timm \
			parity_transformers parity_first_party parity_keras_hub; do \
		$(BIN)/python benchmarks/$$script.py --all || exit 1; done

# The site, into site/. Some docstrings are complete when the package is imported: JAX is the
# smallest backend.
docs: $(VENV)/.ready-docs
	KERAS_BACKEND=jax $(BIN)/python tools/build_site.py

# Into dist/: built twice, and refused if the two differ.
wheel: $(VENV)/.ready-wheel
	$(BIN)/python tools/build_wheel.py

lint: $(VENV)/.ready-lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typing

clean:
	rm -rf $(VENV) site .cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[$*,export]'
	touch $@

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[test]'
	touch $@

# The tests of the page skip themselves where Chromium or npm is missing and cannot be had.
# Only what is missing is asked for: Debian's npm conflicts with a Node.js from elsewhere.
$(VENV)/.ready-browser: | $(BIN)/python
	@missing=; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| missing=" chromium"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if [ -z "$$missing" ] || (apt-get update -qq; \
		apt-get install -y -qq --no-install-recommends $$missing) >/dev/null 2>&1; \
	then touch $@; \
	else echo "the page is not tested without$$missing: apt-get install$$missing"; fi

$(VENV)/.ready-wheel: | $(BIN)/python
	$(PIP) build
	touch $@

$(VENV)/.ready-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[docs]'
	touch $@

$(VENV)/.ready-lint: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[test,lint]'
	touch $@
