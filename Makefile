# Every target sets up what it needs and is quick the second time.

PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check
DATA ?= ../shared/data

BASE := .venv
DEV := .venv-dev

.PHONY: demo test lint fmt fuzz bench-cpu clean

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

demo: $(BASE)/ready
	$(BASE)/bin/topicgen generate data/input.txt --format table

test: $(DEV)/ready
	$(DEV)/bin/python -m pytest

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

# Speed of the CPU engine beside transformers, in one run; DATA may hold topics.parquet, else data/input.txt is used.
bench-cpu: $(DEV)/ready
	$(DEV)/bin/python benchmarks/generate_cpu.py --data $(DATA)

clean:
	rm -rf $(BASE) $(DEV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
