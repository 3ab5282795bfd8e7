# Two commands on a fresh machine, with nothing but Python 3.11+ and make:
#   make demo    install, then learn a word and show it
#   make test    install, then run the tests

PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: demo test check format install notebooks basemodel clean

install:
	@$(PYTHON) scripts/install.py

demo: install
	.venv/bin/pseudoword demo

test: install
	$(RUN) pytest

check: install
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/lint-imports

format: install
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

notebooks: install
	.venv/bin/python scripts/notebooks.py

basemodel: install
	$(RUN) basemodel

clean:
	rm -rf .venv demo runs
