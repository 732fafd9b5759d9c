# Everything here sets up what it needs by itself. A machine needs Python 3.11 or newer with its venv module, make and
# the package registry. `make` alone tells what there is.
#
#   PYTHON=python3.12   this interpreter in place of the newest that fits
#   ARGS=...            more arguments, as in: make test ARGS='-k policy -n0'

# Kept equal to the Dockerfile's, which `make lint` checks.
UV_VERSION := 0.13.9

# uv lives in an environment of its own: `uv sync` makes .venv hold what the lock file says and nothing else, so a
# uv inside would remove itself.
UV := .tools/uv/bin/uv
BIN := .venv/bin

# What CI tries, the newest first, and then whatever is called python3 (a newer one, say).
CANDIDATES := $(if $(PYTHON),'$(PYTHON)',python3.14 python3.13 python3.12 python3.11 python3 python)

# Somebody's activated environment or path settings would send uv and Python elsewhere.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH UV_PROJECT_ENVIRONMENT UV_PYTHON
# Installing is from the package registry, always; uv would fetch interpreters from another place.
export UV_PYTHON_DOWNLOADS := never
# Compiled once here rather than at each start.
export UV_COMPILE_BYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:

.PHONY: help
help: ## List what there is (the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: .venv/.synced ## Watch the collector at work on a simulated cluster, in under a minute
	@$(BIN)/ssh-session-gc demo $(ARGS)

.PHONY: test
test: .venv/.synced ## Run the tests, as many at a time as there are processors
	$(BIN)/pytest -n auto $(ARGS)

.PHONY: simulate
simulate: .venv/.synced ## Run SEEDS random worlds against the collector (FIRST= replays one)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100) $(if $(FIRST),--first $(FIRST))

.PHONY: soak
soak: .venv/.synced ## Run the daemon under load and faults for MINUTES (30), and look whether it grows
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(ARGS)

.PHONY: mutants
mutants: .venv/.synced ## Break the policy on purpose and see whether the tests notice (ARGS= names some)
	rm -rf .mutants && mkdir .mutants
	cp -R gc .mutants/src
	cp -R tests pyproject.toml .mutants
	cd .mutants && PYTHONHASHSEED=0 ../$(BIN)/python -m tests.mutation $(ARGS)

.PHONY: bench
bench: .venv/.synced ## Measure everything beside what else there is, in under ten minutes
	$(BIN)/python -m tests.bench --json bench.json $(ARGS)

.PHONY: picture
picture: .venv/.synced ## Make the README's picture anew, from a real run
	$(BIN)/python docs/picture.py

.PHONY: docs
docs: .venv/.synced ## Write the chart's table of values and its dashboard anew
	$(BIN)/python docs/values.py
	$(BIN)/python docs/dashboard.py

.PHONY: check
check: lint types layers ## All of lint, types and layers

.PHONY: lint
lint: .venv/.synced ## Check style and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile
	@grep -qx 'ARG UV_VERSION=$(UV_VERSION)' Dockerfile || { echo 'Dockerfile: UV_VERSION is not $(UV_VERSION), the Makefile'\''s' >&2; exit 1; }

.PHONY: types
types: .venv/.synced ## Check types
	$(BIN)/mypy

.PHONY: layers
layers: .venv/.synced ## Check that imports go down only
	$(BIN)/lint-imports --no-logo

.PHONY: sync
sync: .venv/.synced ## Only set up .venv

.PHONY: clean
clean: ## Remove .venv, the tools and every cache
	rm -rf .venv .tools dist .mypy_cache .pytest_cache .ruff_cache .mutants .hypothesis .import_linter_cache

# --frozen: the lock file as it is, so that a set-up never rewrites it. CI checks that it is up to date.
.venv/.synced: $(UV) pyproject.toml uv.lock
	$(UV) sync --frozen --python .tools/uv/bin/python
	@touch $@

# The environment is made anew where the interpreter changed; otherwise pip sees to the version alone.
$(UV): .tools/python Makefile
	@python=$$(cat .tools/python) && { [ .tools/uv/bin/pip -nt .tools/python ] || "$$python" -m venv --clear .tools/uv; }
	.tools/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)
	@touch $@

# The path of the interpreter, found once and then kept. With PYTHON= it is looked at each time, and the file is
# only written where that names another one, so that nothing is rebuilt without need.
# A candidate must run, not only exist (pyenv's shims exist for versions that are switched off), and must be
# able to make an environment with pip in it (Debian packs that apart).
.tools/python: $(if $(PYTHON),FORCE)
	@mkdir -p .tools; found=; bare=; \
	for candidate in $(CANDIDATES); do \
		path=$$("$$candidate" -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)' 2>/dev/null) || continue; \
		if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found=$$path; break; fi; \
		bare=$${bare:-$$path}; \
	done; \
	if [ -n "$$found" ]; then \
		[ "$$found" = "$$(cat $@ 2>/dev/null)" ] || { echo "Using $$found"; echo "$$found" >$@; }; \
	elif [ -n "$$bare" ]; then \
		echo "make: $$bare cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; \
	else \
		echo "make: no Python 3.11 or newer found (tried:" $(CANDIDATES)"): install one or say PYTHON=/path/to/python" >&2; exit 1; \
	fi

.PHONY: FORCE
FORCE:
