# `make run` serves, `make test` checks everything; both make the environment first. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CODE := engine store api peekaping tests bench

.PHONY: help run test format lint types tests bench bench-quick lock system clean
help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

run: $(VENV)/ready ## serve on http://127.0.0.1:8383, data in ./peekaping.db
	@exec $(BIN)/peekaping serve

test: lint types tests ## every check: format, lint, types, tests

format: $(VENV)/ready ## format the code
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

# flake8-async for the cancellation rules that ruff lacks; not over the tests, it takes its time.
CANCELLATION := ASYNC102,ASYNC103,ASYNC104,ASYNC113,ASYNC120,ASYNC121,ASYNC122,ASYNC123
lint: $(VENV)/ready ## format and lint, changing nothing
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/flake8-async --enable=$(CANCELLATION) $$(find $(filter-out tests,$(CODE)) -name '*.py')

types: $(VENV)/ready ## mypy --strict
	$(BIN)/mypy peekaping tests bench

tests: $(VENV)/ready system ## the test suite alone
	$(BIN)/pytest -n auto --dist loadfile

bench: $(VENV)/ready ## the benchmark, 40 minutes of a quiet machine; KEEP=--keep keeps it in docs/
	$(BIN)/python -m bench $(KEEP)

bench-quick: $(VENV)/ready ## the same small and short, in two minutes
	$(BIN)/python -m bench --quick

lock: $(VENV)/ready ## resolve the dependencies anew: names, versions and hashes
	CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --extra dev --output-file requirements.lock pyproject.toml

# The tests probe a real nginx and open the pages in a real browser; everything else they need comes from the lock file.
system:
	@ls /usr/sbin/nginx /usr/bin/chromium /usr/bin/chromedriver >/dev/null 2>&1 || { \
		sudo=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
		echo "installing nginx and chromium for the tests"; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends nginx-light chromium chromium-driver >/dev/null; }

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11 run"; exit 2; }
	@echo "making the environment in $(VENV), about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean: ## forget the environment and the caches
	rm -rf $(VENV) .venv-bench bench/results dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
