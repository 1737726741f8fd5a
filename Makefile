# The python that makes .venv: make PYTHON=python3.12 setup
PYTHON ?= python3
SHELL := /bin/bash

.PHONY: setup run test test-thorough test-long test-docs test-cluster test-gpu docs-record mutations docs bench lock

setup: .venv/.installed

# Begun anew when the lock changes, so that .venv holds what the lock says and nothing else.
# What has no wheel is built with the setuptools and wheel of the lock: the first variable is
# for pip before 25.3, the second for later ones.
.venv/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.exit(\
	  "fokker needs python 3.10 to 3.13; choose one: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv --clear .venv
	PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock \
	  .venv/bin/python -m pip install -r requirements.lock
	touch $@

.venv/.installed: .venv/.locked pyproject.toml
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

# Overrides go into ARGS: make run ARGS="formulation=ddpm data=uniform"
run: setup
	.venv/bin/fokker $(ARGS)

test: export OMP_NUM_THREADS = 1
test: setup
	.venv/bin/ruff check
	.venv/bin/mypy --strict src
	.venv/bin/pytest -n 2 --dist worksteal

# What takes minutes: options in 500 combinations, launchers, long studies, the default run, and
# targets and composition with the next hydra.
test-thorough: export OMP_NUM_THREADS = 1
test-thorough: setup .venv/hydra-next
	.venv/bin/pytest -n 2 --dist worksteal -m thorough
	PYTHONPATH=.venv/hydra-next .venv/bin/pytest -n 2 tests/cli/test_instantiate.py \
	  tests/config/test_composition.py

# The next hydra, whose own list of what may be built has to go with ours.
.venv/hydra-next: .venv/.locked
	.venv/bin/python -m pip install --quiet --no-deps --target $@ \
	  hydra-core==1.4.0rc3 omegaconf==2.4.1rc1

# What need not be asked of every change: kills at 56 moments, signals at 100, a full disk at every file, properties
# with twenty times as many examples; commands in README.md and docs/ that take long.
test-long: export OMP_NUM_THREADS = 1
test-long: setup
	.venv/bin/pytest -n 2 --dist worksteal -m long
	.venv/bin/pytest -n 2 --dist worksteal --hypothesis-profile=thorough tests/properties

# What README.md and docs/ say: each command that takes seconds, and what comes of it.
test-docs: export OMP_NUM_THREADS = 1
test-docs: setup
	.venv/bin/pytest -n 2 --dist worksteal -m docs tests/docs

# Writes what commands say now into pages: make docs-record PAGES=docs/search.md
docs-record: setup
	.venv/bin/python tests/docs/record.py $(PAGES)

# Real ranks and a real SLURM of two nodes on this machine, which it installs: needs root, on Debian.
test-cluster: export OMP_NUM_THREADS = 1
test-cluster: setup
	.venv/bin/pytest -m cluster -n 2 --dist worksteal tests/cluster; \
	  status=$$?; tests/cluster/slurm_down.sh; exit $$status

# The tests of a second device on a real GPU, where torch sees one.
test-gpu: export OMP_NUM_THREADS = 1
test-gpu: setup
	@if .venv/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	  FOKKER_TEST_DEVICE=cuda .venv/bin/pytest tests/devices; \
	else echo "test-gpu: not run, torch sees no GPU here"; fi

# Typical mistakes, one after the other in a copy of the source: which test sees each of them?
mutations: setup
	.venv/bin/python tests/mutations/check.py

# The reference and the picture of the rooms, from conf/, docstrings and imports.
docs: setup
	.venv/bin/python docs/make

# Ratios of fokker's times to those of code written by hand, on a machine that does nothing else.
bench: export OMP_NUM_THREADS = 1
bench: setup
	.venv/bin/python tests/benchmarks/bench.py

# Every version anew except torch's, which is raised by hand in the lock first. Needs uv.
lock:
	set -o pipefail; { sed '/^#/!d' requirements.lock; \
	  uv pip compile --quiet --universal --python-version 3.10 --extra dev \
	    --no-header --no-annotate --constraint <(grep '^torch==' requirements.lock) pyproject.toml \
	  | sed -E '/^(nvidia|cuda|triton)/d'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
