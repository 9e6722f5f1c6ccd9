# Everything a newcomer types. `make` alone lists the targets.
#   make ui DAGSTER_PORT=3001 MLFLOW_PORT=5001
#   make test PYTEST="-m 'not slow' tests/lake"
#   make test PYTEST="-n 0 --pdb tests/lake/test_store.py"   one process, as a debugger needs

CAMPAIGN ?= demo
ITERATIONS ?= 2
PYTEST ?=
DAGSTER_PORT ?= 3000
MLFLOW_PORT ?= 5000

BIN := .venv/bin
# learning, libero and limits read a home; the others start from a clean state.
BENCHMARKS := audit demo latents learning libero libero-experts libero-simulator limits loading maniskill-simulator planner \
	recovery speed

.DEFAULT_GOAL := help
.PHONY: help setup system demo test ui lint lock clean

help: ## list the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

setup: ## the virtual environment and the system packages (demo, test, ui, lint and benchmarks do this first)
	@bash setup/setup.sh

system: ## the system packages alone: the part that may need root
	@bash setup/setup.sh system

demo: setup ## two iterations of the loop on ManiSkill, then a table and a report
	@$(BIN)/worldvla loop --campaign $(CAMPAIGN) --iterations $(ITERATIONS)
	@$(BIN)/worldvla report --campaign $(CAMPAIGN)

test: setup ## all tests, one real two-iteration loop among them
	@bash setup/setup.sh tests
	@$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

ui: setup ## Dagster's web server and daemon, MLflow beside them; Ctrl-C ends all
	@bash setup/ui.sh $(DAGSTER_PORT) $(MLFLOW_PORT)

lint: setup ## ruff's rules and format, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

benchmark-%: setup ## run benchmarks/NAME.py, which writes its JSON into benchmarks/results/
	@$(if $(filter $*,$(BENCHMARKS)),true,echo "there is no benchmark $*; there are: $(BENCHMARKS)"; exit 2)
	@$(BIN)/python -m benchmarks.$(subst -,_,$*)

lock: ## resolve pyproject.toml anew and write requirements.lock
	@bash setup/lock.sh

clean: ## remove the environment and the caches; var/ (all data) stays
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
