# The project's commands. Add here: a command people type. Not here: how it works (the crm command, .ci/).
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
SHELL := /bin/sh

# Without .pyc files every command imports for twice as long.
unexport PYTHONDONTWRITEBYTECODE
export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

# Options, read by the recipes from the environment so that paths may hold spaces.
export PYTHON EXAMPLE LANDING JOB AS_OF PORT CRM_HOME

BIN := .venv/bin
# In the order of the folders: the integration tests, which take longest, come first.
PYTEST_OPTIONS ?= -n 2 --dist loadscope --no-loadscope-reorder

# Where the data lives: CRM_HOME, else a folder named after what is run, else data/.
SET_HOME = if [ -n "$$CRM_HOME" ]; then home=$$CRM_HOME; \
	elif [ -n "$$LANDING" ]; then home=$$PWD/data-$$(basename "$$LANDING"); \
	elif [ -n "$$EXAMPLE" ]; then home=$$PWD/data-$$EXAMPLE; \
	else home=$$PWD/data; fi

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Options of run and ui: LANDING=folder  EXAMPLE=name  JOB=nightly|monthly  AS_OF=2011-12-09  PORT=3000"
	@echo "  CRM_HOME=/abs/path chooses where data is kept; PYTHON=python3.12 chooses the interpreter."

.PHONY: setup
setup: ## Create or refresh .venv from requirements.lock; let dbt read the project
	@.ci/bootstrap
	@$(BIN)/python -m crm_pipeline.lib.dbt_manifest

.PHONY: run
run: setup ## Run the pipeline once (the made-up shop, EXAMPLE=name, or LANDING=your folder)
	@.ci/preflight --disk 1000
	@$(SET_HOME); set -- --home "$$home"; \
	if [ -n "$$LANDING" ] && [ -n "$$EXAMPLE" ]; then \
		echo "make: LANDING and EXAMPLE exclude each other; give one of them." >&2; exit 2; fi; \
	if [ -n "$$LANDING" ]; then set -- "$$@" --landing "$$LANDING"; \
	elif [ -n "$$EXAMPLE" ]; then set -- "$$@" --example "$$EXAMPLE"; fi; \
	if [ -n "$$JOB" ]; then set -- "$$@" --job "$$JOB"; fi; \
	if [ -n "$$AS_OF" ]; then set -- "$$@" --as-of "$$AS_OF"; fi; \
	exec $(BIN)/crm run "$$@"

.PHONY: ui
ui: setup ## Open the Dagster UI on 127.0.0.1 (PORT=3000)
	@$(SET_HOME); exec $(BIN)/crm ui --home "$$home" --port "$${PORT:-3000}"

# The oldest DuckDB a BI tool may open the published file with; read by one test in a process of its own.
OLD_DUCKDB := .venv/old_duckdb
$(OLD_DUCKDB)/.installed: .ci/old_duckdb.lock
	@$(BIN)/python .ci/uv_with_pip_settings.py pip install --quiet --require-hashes \
		--target $(OLD_DUCKDB) -r .ci/old_duckdb.lock
	@touch $@

.PHONY: test
test: setup check $(OLD_DUCKDB)/.installed ## Run the checks and the whole test suite
	OLD_DUCKDB="$$PWD/$(OLD_DUCKDB)" $(BIN)/python -m pytest -m "not soak" $(PYTEST_OPTIONS)

.PHONY: check
check: setup ## Lint, types, SQL style, rules and YAML, dbt parse, definitions, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --config dbt_project/.sqlfluff --disable-progress-bar \
		dbt_project/models dbt_project/tests
	$(BIN)/crm check
	$(BIN)/python -m crm_pipeline.lib.docs --check

.PHONY: check-rules
check-rules: setup ## Read the rule tables; prove that each ladder gives everybody one tier (seconds)
	$(BIN)/crm rules check

.PHONY: docs
docs: setup ## Write the generated documentation anew
	$(BIN)/python -m crm_pipeline.lib.docs

.PHONY: bench
bench: setup ## Measure: the hand-written script beside the pipeline, a night beside the first load, identity, scoring, outreach
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.night_cost
	$(BIN)/python -m benchmarks.marts_cost
	$(BIN)/python -m benchmarks.identity_graph
	$(BIN)/python -m benchmarks.identity_records
	$(BIN)/python -m benchmarks.scoring_cost
	$(BIN)/python -m benchmarks.decision_cost
	$(BIN)/python -m benchmarks.clv_fit
	$(BIN)/python -m benchmarks.delivery_cost
	$(BIN)/python -m benchmarks.ml_online_retail

.PHONY: soak
soak: setup ## Run the long tests: crashes at random moments, overlapping runs
	$(BIN)/python -m pytest -m soak

.PHONY: screenshots
screenshots: setup ## Take the pictures of the README anew (needs Chromium and a home that was run)
	@$(SET_HOME); exec $(BIN)/python docs/make_screenshots.py --home "$$home"

.PHONY: lock
lock: setup ## Resolve the dependencies anew into requirements.lock
	$(BIN)/python .ci/uv_with_pip_settings.py pip compile --universal --python-version 3.11 \
		--generate-hashes --extra dev --extra pull --extra identity --upgrade --quiet \
		-o requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove the environment and caches (data/ stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
	rm -rf examples/online_retail/landing dbt_project/target dbt_project/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
