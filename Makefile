# Everything runs in .venv, which is made on first use and again when the lock file changes (`make lock`).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
UV := $(BIN)/uv

.PHONY: demo test coverage soak fuzz bench smoke audit lowest matrix lint types check lock clean

demo: $(READY)
	$(BIN)/python -m tests.pages.demo

test: $(READY)
	$(PYTEST)

# The same, and what of the package it ran: from Python 3.12 on at next to no cost, before at twice the time.
coverage: $(READY)
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
		$(PYTEST) --cov --cov-report=term

# The long tests at their full size: fleets of 200 devices, commands killed again and again.
soak: $(READY)
	SOAK=1 $(PYTEST) -m long --timeout 3600

# The tests with made-up values, for about an hour, with other values each time. What they find belongs into an @example.
fuzz: $(READY)
	$(PYTEST) -m hypothesis --hypothesis-profile fuzz --timeout 7200

# What a sync costs beside its peers, as whole processes on PostgreSQL; SIZES are numbers of devices.
SIZES ?= 1000 10000
bench: $(READY) $(UV)
	$(UV) venv --quiet --clear .venv-peers
	$(UV) pip install --quiet --python .venv-peers --group peers
	$(BIN)/python -m tests.bench --dlt .venv-peers/bin/python $(SIZES)

# What users install: the wheel, without the packages for development; each command's --help, and one sync.
smoke: $(READY)
	rm -rf .venv-smoke
	$(PYTHON) -m venv .venv-smoke
	.venv-smoke/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .venv-smoke/wheel .
	.venv-smoke/bin/pip install --quiet --disable-pip-version-check .venv-smoke/wheel/*.whl
	$(BIN)/python -m tests.smoke .venv-smoke/bin/cove-poller

# Known vulnerabilities of the locked packages, for machines that reach PyPI and its advisories; what is not known there
# is no pass.
audit: $(READY) $(UV)
	$(UV) tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements-lock.txt || \
		{ echo "a package has a known vulnerability, or PyPI cannot be reached from here: see above"; exit 1; }

# On the lowest versions that pyproject.toml allows.
lowest: $(READY) $(UV)
	$(UV) venv --quiet --clear .venv-lowest
	$(UV) pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[dev]'
	.venv-lowest/bin/pytest -n 2 --dist worksteal

# On each Python that this machine has; say PYTHONS="..." for others.
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[1-9].*/bin/python3 /usr/bin/python3.1[1-9])
matrix: $(READY) $(UV)
	set -e; for python in $(PYTHONS); do \
		$$python --version; \
		$(UV) venv --quiet --clear --python $$python .venv-matrix; \
		$(UV) pip install --quiet --python .venv-matrix --editable '.[dev]'; \
		.venv-matrix/bin/pytest -n 2 --dist worksteal; \
	done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

$(READY): requirements-lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cove-poller needs Python 3.11 or newer; say: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(UV):
	$(BIN)/pip install --quiet --disable-pip-version-check uv

# For whoever raises a version in pyproject.toml.
lock: $(READY) $(UV)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-strip-extras --no-header --upgrade --quiet --output-file requirements-lock.txt

clean:
	rm -rf .venv .venv-* .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
