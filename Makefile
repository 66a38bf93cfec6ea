# make run: the example on http://127.0.0.1:8000 · make test: everything the tests need, and the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?= tests
# Each file of tests by one of three processes (they wait for each other's browsers and servers more than they compute), in
# the order of their names: it begins with the longest files, so that none is left alone at the end
SIDE_BY_SIDE ?= -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: run run-django test test-all check lint types system system-all client bench bench-workers chaos fuzz clean

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV) || (apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV))
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,examples]'
	touch $(READY)

run: $(READY)
	cd examples/flask_app && ../../$(BIN)/cometware serve app:app --bind 127.0.0.1:8000

run-django: $(READY)
	cd examples/django_app && ../../$(BIN)/python manage.py demo && ../../$(BIN)/cometware serve helpdesk.wsgi:application --bind 127.0.0.1:8000

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# What a commit should pass: quick, needs no browser and no proxy
check: lint types
	$(BIN)/pytest -q -m "not full" $(TESTS) --ignore=tests/browser --ignore=tests/proxies --ignore=tests/apps

system:
	bash .ci/install-system

system-all:
	bash .ci/install-system --full

test: system $(READY) lint types
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not full" $(TESTS)

test-all: system-all $(READY) lint types
	$(BIN)/pytest $(SIDE_BY_SIDE) $(TESTS)

# The minified browser client, from cometware/static/cometware.js
client: system
	bash .ci/build-client

bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks

# Only what concerns several workers and their stores: some three minutes
bench-workers: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks delivery publish mirror memory resume

# Workers are killed and stores restarted for ten minutes with each store that workers share; it prints what happened, and
# fails if anything was lost, doubled, out of order or forgotten
chaos: SECONDS ?= 600
chaos: system $(READY)
	$(BIN)/python -m tests.cluster.chaos --store redis --seconds $(SECONDS) --rate max --requests 100000
	$(BIN)/python -m tests.cluster.chaos --store sqlite --seconds $(SECONDS) --rate max --requests 100000

# Strangers' words, mutated, for ten minutes: the decoders, the heads of polls and requests, and live workers. A little of it
# is in make test, too
fuzz: SECONDS ?= 600
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

clean:
	rm -rf $(VENV) .tools build *.egg-info
