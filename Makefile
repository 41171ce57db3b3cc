# Every target sets up what it needs: `make demo` and `make test` work on a fresh Debian 12.
VENV := .venv
PY := $(VENV)/bin/python
TIERS := tests/arch tests/unit tests/laws tests/sim tests/kernel tests/vm tests/docker

.PHONY: demo test lint bench mutants setup bpf clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml setup.sh
	./setup.sh $(VENV)
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	./setup.sh $(VENV) test
	touch $@

test: $(VENV)/.ready-test lint
	$(PY) -m pytest $(wildcard $(TIERS))

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# Three hosts in a line become one switch; root only, removes all it makes.
demo: setup
	$(PY) -m bench.demo

# Speed and size, as a table and as bench/results/*.json; root only, takes some minutes.
bench: setup
	$(PY) -m bench.run

# Plant classical mistakes in copies of the code, and see that the simulator finds each; some minutes.
mutants: setup
	$(PY) -m bench.mutants --jobs $(shell nproc)

# Compile the data path's programs anew; the object is part of the repository, so installing needs no compiler.
bpf: setup
	datapath/bpf/build.sh

clean:
	rm -rf $(VENV) build dist *.egg-info
