# Every chore, one verb each: `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help dev run test test-all test-long check format lint types floors docs bench lock

VENV := .venv/bin
T ?= tests/unit

help:       ## every verb, with one line each
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

dev:        ## a working checkout: environment with all tools
	./hyok test --setup

run:        ## the whole system on this computer
	./hyok dev

test:       ## one file or folder, fast: make test T=path
	$(VENV)/python -m pytest -q $(T)

test-all:   ## everything, as ./hyok test
	./hyok test

test-long:  ## the long proofs, as ./hyok test --long
	./hyok test --long

check: format lint types floors test-all  ## what must be clean before a change lands

format:     ## is the code laid out as ruff does it?
	$(VENV)/ruff format --check .

lint:       ## ruff's rules
	$(VENV)/ruff check .

types:      ## mypy, strict
	$(VENV)/mypy

floors:     ## imports only go down
	$(VENV)/lint-imports

docs:       ## generated pages
	$(VENV)/python docs/generate_s3_table.py

bench:      ## hyok beside nginx, haproxy, rclone and the bare store, as ratios
	$(VENV)/python benchmarks/bench_gateway.py $(BENCH)

lock:       ## pin the dependencies anew
	$(VENV)/uv pip compile --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(VENV)/uv pip compile --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(VENV)/uv pip compile --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --group compat -o requirements-compat.lock
