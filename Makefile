# Everything there is to do with this repository. `make` alone tells what there is.
PYTHON ?= python3
WORKERS ?= 4  # of `make test`: twice the cores of a small machine, since most tests wait for processes
VENV := .venv
PIP := pip install --quiet --disable-pip-version-check
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed
# Most of them need Node 22, which npm brings along; mistral-vibe needs Python 3.12 or newer: make agents NEWER_PYTHON=…
AGENTS := node@22 @google/gemini-cli@0.61.0 opencode-linux-x64@1.18.34 @qwen-code/qwen-code@0.24.4 \
  @agentclientprotocol/claude-agent-acp@0.101.0 @anthropic-ai/claude-code@2.1.332 \
  @agentclientprotocol/codex-acp@2.6.0 @moonshot-ai/kimi-code@2.1.0 @github/copilot@1.0.102
EDITORS := @agentclientprotocol/sdk@2.4.0 acpx@0.19.1 ws@8  # clients of ACP, for tests/editors and tests/e2e
ZED_AGENTS := @zed-industries/codex-acp@0.16.0
VIBE := mistral-vibe==3.0.2
NEWER_PYTHON ?= python3.13

.DEFAULT_GOAL := help
.PHONY: help test again demo lint types coverage mutation faults agents editors conformance fuzz audit bench screenshots constraints \
  release clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

$(RUNS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "myagent needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) -c constraints.txt -e .
	@touch $@

$(STAMP): $(RUNS)
	$(BIN)/$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

test: $(STAMP) lint types  ## set up, lint, check types, run the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=10

again: $(STAMP)  ## what failed in `make test`, three times and alone: a fault fails again, a test that lost a race does not
	$(BIN)/python -c 'import json; print(*json.load(open(".pytest_cache/v/cache/lastfailed")), sep="\n")' > .pytest_cache/failed
	@echo "failed once, and tried again:"; cat .pytest_cache/failed; grep -c :: .pytest_cache/failed | grep -qx '[123]'
	for run in 1 2 3; do $(BIN)/python -m pytest @.pytest_cache/failed || exit 1; done

lint: $(STAMP)  ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  ## mypy --strict over src
	$(BIN)/mypy

coverage: $(STAMP)  ## the suite once more, with the lines and branches that nothing ran
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered

mutation: $(STAMP)  ## change the rules one at a time and see whether a test fails: core, access, admission (hours; MUTATE=… for some)
	-$(BIN)/$(PIP) 'mutmut>=3.8,<4'
	nice $(BIN)/mutmut run --max-children $(WORKERS) $(MUTATE)
	$(BIN)/mutmut results

demo: $(RUNS)  ## watch a session being shared: an owner, two followers, one that comes late
	$(BIN)/python examples/demo.py

faults: $(STAMP)  ## the fault suite at length: cuts, kills, stalls, full disks; prints its figures
	$(BIN)/python -m tests.faults

agents: $(STAMP)  ## every real agent that can be installed in .cache/agents, with a scripted model; writes docs/agents.md
	@mkdir -p .cache/agents/zed
	@for package in $(AGENTS); do \
	  npm install --silent --no-audit --no-fund --prefix .cache/agents $$package \
	  || echo "not tried, unless it is there already: npm could not install $$package"; \
	done
	@npm install --silent --no-audit --no-fund --prefix .cache/agents/zed $(ZED_AGENTS) || echo "not tried: $(ZED_AGENTS)"
	@$(NEWER_PYTHON) -m venv .cache/agents/vibe && .cache/agents/vibe/bin/python -m pip install --quiet $(VIBE) \
	  || echo "not tried, unless it is there already: $(VIBE)"
	MYAGENT_TEST_EVERY_AGENT=1 $(BIN)/python -m pytest -rs tests/agents/test_real_agents.py \
	  tests/agents/test_real_hostile.py tests/e2e/test_real_agents.py tests/e2e/test_agent_steps.py; \
	  status=$$?; $(BIN)/python scripts/agents_table.py && exit $$status

editors: $(STAMP)  ## clients of the Agent Client Protocol in .cache/editors, and the tests that use them
	@mkdir -p .cache/editors
	npm install --silent --no-audit --no-fund --prefix .cache/editors $(EDITORS)
	$(BIN)/python -m pytest -rs tests/editors tests/e2e/test_editors.py tests/e2e/test_editors_elsewhere.py

conformance: $(STAMP)  ## RFC 6455: the Autobahn cases through our own listener
	$(BIN)/python -m pytest tests/conformance

fuzz: $(STAMP)  ## hostile inputs at length: 10^6 to the decoder, 10^6 handshakes, 10^5 frames on real sockets, and inputs that grow, by their time
	-$(BIN)/$(PIP) -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz

audit: $(STAMP)  ## ask an advisory service whether anything installed here has a known hole; it fails if one is known
	$(BIN)/python scripts/audit.py

bench: $(STAMP)  ## fan-out, latency, memory, replay, start-up, beside the peers; writes benchmarks/results
	$(BIN)/python -m benchmarks

screenshots: $(STAMP)  ## make the pictures in docs/images anew (needs Chromium)
	$(BIN)/python scripts/screenshots.py

constraints:  ## renew constraints.txt: the newest releases that pyproject.toml allows, to be tried with `make test`
	rm -rf .cache/constraints
	$(PYTHON) -m venv .cache/constraints
	.cache/constraints/bin/$(PIP) -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; .cache/constraints/bin/pip freeze --exclude-editable; } > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt

release: $(STAMP)  ## rehearse a release: build it, install the wheel into an empty environment, run the demo from there
	rm -rf dist .cache/release
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv .cache/release
	.cache/release/bin/$(PIP) -c constraints.txt dist/*.whl
	cd .cache && release/bin/myagent --version && release/bin/python ../examples/demo.py

clean:  ## remove what the build made
	rm -rf $(VENV) build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
