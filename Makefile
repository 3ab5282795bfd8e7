# Two commands on a fresh machine, with nothing but Python 3.11 to 3.14 and make:
#   make demo    install, then learn a word and show it
#   make test    install, then run the tests

ifeq ($(OS),Windows_NT)
PYTHON ?= py
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif
RUN := $(BIN)/python -m

# Settings of other programs and of pip that lead out of .venv.
unexport PYTHONPATH PIP_TARGET PIP_PREFIX
export PIP_USER := 0

.PHONY: demo test check format install notebooks basemodel clean

install:
	@$(PYTHON) scripts/install.py

demo: install
	$(BIN)/pseudoword demo

test: install
	$(RUN) pytest

check: install
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(BIN)/lint-imports

format: install
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

notebooks: install
	$(BIN)/python scripts/notebooks.py

basemodel: install
	$(RUN) basemodel

clean:
	rm -rf .venv demo runs
