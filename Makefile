# Every target sets up what it needs and is quick the second time.

PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check
DATA ?= ../shared/data
WORKERS ?= 2

BASE := .venv
DEV := .venv-dev
UNSLOTH := .venv-unsloth
VLLM := .venv-vllm

.PHONY: demo test test-browser test-dist lint fmt fuzz torture torture-serve bench-cpu bench-serve quality notebooks \
	environments dist docker-proof venv-unsloth venv-vllm clean

# The base package only: no torch.
$(BASE)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/pip install $(PIP_FLAGS) -c constraints.txt -e .
	touch $@

$(DEV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install $(PIP_FLAGS) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(DEV)/bin/pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	touch $@

# Unsloth wants older libraries than constraints.txt has, and gigabytes of CUDA.
$(UNSLOTH)/ready: pyproject.toml constraints-unsloth.txt
	$(PYTHON) -m venv $(UNSLOTH)
	$(UNSLOTH)/bin/pip install $(PIP_FLAGS) -c constraints-unsloth.txt -e '.[unsloth]'
	touch $@

# vLLM wants one build of torch exactly, and gigabytes of CUDA.
$(VLLM)/ready: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install $(PIP_FLAGS) -c constraints-vllm.txt -e '.[vllm]'
	touch $@

demo: $(BASE)/ready
	$(BASE)/bin/topicgen generate data/input.txt --format table

# A file's tests stay in one worker, where they share models; WORKERS=0 is one process.
test: $(DEV)/ready
	$(DEV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile

# Debian's chromium is installed when it is missing and this is root; without it the tests are skipped.
test-browser: $(DEV)/ready
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -qq \
	&& apt-get install -qq -y --no-install-recommends chromium; } || echo "no chromium: browser tests are skipped" >&2
	$(DEV)/bin/python -m pytest tests/browser -m browser

lint: $(DEV)/ready
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/mypy

fmt: $(DEV)/ready
	$(DEV)/bin/ruff format .
	$(DEV)/bin/ruff check --fix .

# 10,000 examples for every reader; about ten minutes.
fuzz: $(DEV)/ready
	HYPOTHESIS_PROFILE=fuzz $(DEV)/bin/python -m pytest tests/test_reader_properties.py tests/test_phrase.py

# What the tests do a little of: training, saving and generate killed at hundreds of moments, each ending with the bytes of
# an uninterrupted run; full disks; a million documents in the memory of ten thousand; hundreds of abstracts, large pages.
torture: $(DEV)/ready
	TOPICGEN_TORTURE=1 $(DEV)/bin/python -m pytest -m torture
	TOPICGEN_TORTURE=1 $(DEV)/bin/python -m pytest -rP tests/runs/test_kills.py tests/runs/test_full_disk.py \
	tests/runs/test_run_memory.py -k "kill or disk or million"

# A server is told to stop under load 50 times; every request that was sent before has its answer.
torture-serve: $(DEV)/ready
	TOPICGEN_TORTURE=1 $(DEV)/bin/python -m pytest tests/serving/test_served_drain.py -k under_load

# Speed of the CPU engine beside transformers, in one run; DATA may hold topics.parquet, else data/input.txt is used.
bench-cpu: $(DEV)/ready
	$(DEV)/bin/python benchmarks/generate_cpu.py --data $(DATA)

# The server with 1, 8 and 32 clients, beside the same documents without it.
bench-serve: $(DEV)/ready
	$(DEV)/bin/python benchmarks/serve.py --data $(DATA)

# The quality table of the README: baselines, mini and the published predictions on the same rows.
quality: $(DEV)/ready
	$(DEV)/bin/python benchmarks/quality.py --data $(DATA)

# Runs notebooks/topicgen.ipynb and saves its outputs.
notebooks: $(DEV)/ready
	$(DEV)/bin/python notebooks/run.py
# requirements.txt and environment.yml from pyproject.toml.
environments: $(DEV)/ready
	$(DEV)/bin/python scripts/environments.py

# What is uploaded to PyPI.
dist: $(DEV)/ready
	rm -rf dist
	$(DEV)/bin/python -m build --no-isolation
	$(DEV)/bin/twine check --strict dist/*

# The wheel in an empty environment, with its libraries from the package index.
test-dist: $(DEV)/ready
	TOPICGEN_INSTALL=1 $(DEV)/bin/python -m pytest tests/test_distributions.py

# The Dockerfile's steps and command in clean Debian trees, without Docker; needs root. TARGET=cuda for the other image.
docker-proof: $(DEV)/ready
	@command -v debootstrap >/dev/null || (apt-get update -qq && apt-get install -qq -y --no-install-recommends debootstrap)
	$(DEV)/bin/python docker/proof.py --target $(or $(TARGET),cpu)

# For `topicgen train --backend unsloth`, on Linux with an NVIDIA GPU.
venv-unsloth: $(UNSLOTH)/ready
	@echo "run $(UNSLOTH)/bin/topicgen train DATA --backend unsloth"

# For `topicgen generate --engine vllm`, on Linux with an NVIDIA GPU.
venv-vllm: $(VLLM)/ready
	@echo "run $(VLLM)/bin/topicgen generate DATA --model FOLDER --engine vllm"

clean:
	rm -rf $(BASE) $(DEV) $(UNSLOTH) $(VLLM) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
