# The contributor's menu. PYTHON chooses the interpreter of a new .venv, ARGS goes to train.py: make run ARGS="seed=1"
PYTHON ?= python3
BIN := .venv/bin

help:    ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --editable '.[dev]'
	touch $@

install: .venv/installed  ## create .venv and install everything into it

run: install    ## python train.py: 30 to 100 s after the installation
	$(BIN)/python train.py $(ARGS)

test: install   ## tests and doctests that are quick, under 3 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/torture -m "not slow and not installed"

test-all: install  ## all tests and doctests but those below, with coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/torture --cov --cov-report=term-missing:skip-covered

torture: install ## runs killed in every phase, damaged files, full disks, malformed command lines: under 40 minutes; FORM=quick: five
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/torture $(if $(filter quick,$(FORM)),-m "not long")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture.kill $(or $(FORM),long)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture.faults

test-installed: install  ## build the package, install it into a fresh environment, and run it from an empty folder
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m installed tests/test_installed.py

test-slurm: install  ## a sweep on a Slurm of one node, which this starts and stops; as root on Debian or Ubuntu
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --editable '.[dev,slurm]'
	.ci/slurm $(BIN)/python -m tests.slurm.same_numbers

test-page: install ## the pages of a run and of a sweep in a headless Chromium, which this installs as root on Debian
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraints constraints.txt --editable '.[dev,page]'
	OMP_NUM_THREADS=1 .ci/browser $(BIN)/python -m pytest tests/page/in_a_browser.py

table1: install ## the paper's methods over five seeds on fashion, on all cores; ARGS="dataset=cifar10" for other images
	$(BIN)/python train.py -m experiment=table1 $(ARGS)
	$(BIN)/python -m dau_lightning.report runs/table1

table2: install ## the ablation: beta 0
	$(BIN)/python train.py -m experiment=table2 $(ARGS)
	$(BIN)/python -m dau_lightning.report runs/table2

figure2: install ## the attacks on the runs of table1, as figures
	$(BIN)/python train.py -m experiment=figure2 $(ARGS)
	$(BIN)/python -m dau_lightning.report runs/table1 --figures runs/table1/figures

leaderboard: install ## every method on fashion over five seeds, as tables and a page
	$(BIN)/python train.py -m experiment=leaderboard $(ARGS) || code=$$?; \
	$(BIN)/python -m dau_lightning.report runs/leaderboard --html runs/leaderboard/report.html; exit $${code:-0}

bench:  install ## how fast it is, against a hand-written loop, bounds and Retrain; ARGS="overhead game" for some of it
	$(BIN)/python -m benchmarks $(ARGS)

check: install  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: install ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:   ## remove what can be made again; runs/ and store/ stay
	rm -rf .venv .pytest_cache .ruff_cache .coverage dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install run test test-all torture test-installed test-slurm test-page table1 table2 figure2 leaderboard bench check format clean
