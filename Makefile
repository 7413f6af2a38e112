# Two commands for a fresh machine: `make demo` and `make test`; each installs what it needs into .venv.
PYTHON ?= python3
STAMP := .venv/.installed

demo: $(STAMP)
	scripts/demo

test: $(STAMP)
	scripts/test

check: $(STAMP)
	scripts/check

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf .venv demo

.PHONY: demo test check clean
