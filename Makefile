# Each target runs on a machine that has Python 3.11+ and make (tests also: Node 20+).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait for other processes more than they compute.
TEST_PROCESSES ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

.PHONY: run test soak check bench bench-peers chaos docs clean

run: $(VENV)/installed  ## start a development server on 127.0.0.1:6001
	@$(BIN)/oyez serve

TESTING := $(VENV)/node_modules $(VENV)/debian $(VENV)/java

test: $(TESTING)  ## run the tests
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadgroup

soak: $(TESTING)  ## run what takes too long for every day
	$(BIN)/pytest -m soak -n $$(getconf _NPROCESSORS_ONLN) --dist loadgroup
	$(BIN)/pytest $(PROPERTIES) -n $(TEST_PROCESSES) --hypothesis-profile=other

check: $(VENV)/developing  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(VENV)/developing  ## measure, and print the table of benchmarks/README.md
	$(BIN)/python -m benchmarks.run

# Tests of properties, whose examples `make soak` draws anew.
PROPERTIES = $(shell grep -l '^@given' -r tests --include='test_*.py')

# ARGUMENTS="--only publish --peers oyez,soketi", for example; benchmarks/README.md has all of them.
bench-peers: $(VENV)/benching  ## measure beside soketi, nchan, Centrifugo and Sockudo
	$(BIN)/python -m benchmarks.peer_run $(ARGUMENTS)

# ARGUMENTS="--engine nats --seed 7 --seconds 60", for example; it prints how to replay what it finds.
chaos: $(VENV)/debian  ## three nodes over a real Redis or NATS, with faults
	$(BIN)/python -m tests.chaos $(ARGUMENTS)

docs: $(VENV)/installed  ## renew the generated pages of docs/reference
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) tests/end_to_end/clients/node_modules tests/end_to_end/java/lib benchmarks/build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Oyez needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/installed: $(BIN)/python pyproject.toml
	@echo "installing Oyez into $(VENV) ..."
	@$(BIN)/pip install --quiet --editable '.[server]'
	@touch $@

$(VENV)/developing: $(BIN)/python pyproject.toml
	@echo "installing Oyez and the tools of its tests into $(VENV) ..."
	@$(BIN)/pip install --quiet --editable '.[server,fast,redis,cluster]' --group dev
	@touch $@ $(VENV)/installed

# OpenSSL's headers for the load generator; without them, TLS and presence are not measured.
$(VENV)/benching: $(VENV)/developing benchmarks/requirements.txt
	@echo "installing the tools of the benchmark into $(VENV) ..."
	@$(BIN)/pip install --quiet --requirement benchmarks/requirements.txt
	@test -e /usr/include/openssl/ssl.h || { \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libssl-dev) >/dev/null 2>&1 \
		|| echo "TLS is not measured: sudo apt-get install libssl-dev"; }
	@touch $@

$(VENV)/node_modules: tests/end_to_end/clients/package-lock.json $(VENV)/developing
	@command -v npm >/dev/null || { echo "The tests need Node 20+ with npm: https://nodejs.org"; exit 1; }
	cd tests/end_to_end/clients && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/java: tests/end_to_end/java/pom.xml $(VENV)/debian
	@rm -rf tests/end_to_end/java/lib
	@if command -v mvn >/dev/null; then \
		cd tests/end_to_end/java && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib; \
	fi
	@touch $@

# A real Chromium for the welcome page, a real PostgreSQL for the outbox, a real Redis for many nodes, the
# proxies of deploy/, and Java for its official client. Without them, and without the right to install
# them, the tests that need one say so and are skipped, except under CI.
$(VENV)/debian: $(VENV)/developing
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	for proxy in haproxy nginx caddy; do \
		PATH="$$PATH:/usr/sbin" command -v $$proxy >/dev/null || missing="$$missing $$proxy"; \
	done; \
	command -v java >/dev/null || missing="$$missing default-jdk-headless"; \
	command -v mvn >/dev/null || missing="$$missing maven"; \
	test -z "$$missing" || { \
		echo "installing$$missing ..."; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing) >/dev/null 2>&1 \
		|| echo "could not be installed, tests are skipped: sudo apt-get install$$missing"; }
	@touch $@
