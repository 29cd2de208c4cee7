# `make help` lists the targets: each with a comment after ## is listed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Compiled modules are kept, whatever the environment says: a process starts in half the time.
export PYTHONDONTWRITEBYTECODE :=
# uv trusts whom the machine trusts, as pip does: behind a company's proxy its own list is not enough.
export UV_SYSTEM_CERTS := true

.PHONY: help up dev test tests-on-sqlite tests-on-postgresql compiled test-today coverage lint chromium screenshots messages requirements sbom audit digests benchmark chaos fuzz soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# uv installs in seconds, for which pip takes minutes; pip is for machines on which only pip knows the package index.
$(STAMP): requirements-dev.txt requirements-uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.txt \
	  || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

up: $(STAMP) ## run everything on this machine: Redis, SQLite, a sandbox main API and all processes
	@exec $(BIN)/python manage.py up $(addprefix --dialect ,$(DIALECT)) $(if $(LOGS),--logs)

dev: $(STAMP) ## the same, and restart processes when the code changes
	@exec $(BIN)/python manage.py up --reload --logs

lint: $(STAMP) ## ruff, djlint, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --lint --quiet templates ops/templates monitoring/templates
	$(BIN)/mypy
	$(BIN)/lint-imports

# The browser tests run where Chromium is, or can be installed; its shell without windows takes half of its time.
APT := DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
chromium:
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing Chromium for the browser tests" \
	  && apt-get update -qq >/dev/null && { $(APT) chromium-headless-shell || $(APT) chromium; } >/dev/null; } \
	  || echo "Chromium cannot be installed here: the browser tests are skipped"

screenshots: $(STAMP) chromium ## draw every page of the admin into docs/screenshots
	$(BIN)/python -m tests.screenshots

# Many tests wait for processes: more at once than two cores have room for, beside PostgreSQL's. Each pytest process takes
# 5 s of CPU to begin. tests/support/scheduling.py says which tests stay together.
AT_ONCE := -n 7

# What meets the database in its own way (SQL, locks, cursors, texts, outages), and the story as a whole. The rest says
# the same on any: forms, what answers of the main API mean, and tests about a size rather than a database.
ON_POSTGRESQL := @tests/on_postgresql.txt

# Tests wait for processes most of the time: side by side they use both cores. PostgreSQL's part is shown when it is over.
test: $(STAMP) chromium ## every check and test, on PostgreSQL too where a server is installed
	@$(MAKE) --no-print-directory -j 3 lint tests-on-sqlite tests-on-postgresql

tests-on-sqlite: compiled
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m pytest $(AT_ONCE)

tests-on-postgresql: AT_ONCE := -n 2
POSTGRESQL_LOG := $(VENV)/tests-on-postgresql.log
tests-on-postgresql: compiled
	@$(BIN)/python -m tests.postgresql $(AT_ONCE) $(ON_POSTGRESQL) >$(POSTGRESQL_LOG) 2>&1 \
	  || { cat $(POSTGRESQL_LOG); exit 1; }
	@echo "On PostgreSQL: $$(tail -n 1 $(POSTGRESQL_LOG))"

# Once, rather than by each of the workers that would begin at the same moment. What cannot be imported they report.
compiled: $(STAMP)
	@$(BIN)/python -m pytest --collect-only -q >$(VENV)/collected 2>&1 || true

test-today: $(STAMP) chromium ## every test that starts a sandbox, against the main API as it is served today
	SANDBOX_DIALECT=today $(BIN)/python -m pytest $(AT_ONCE) tests/integration tests/acceptance

coverage: $(STAMP) chromium ## which lines and branches the tests run, those of the service's processes too
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(AT_ONCE)
	$(BIN)/coverage run -m tests.postgresql $(AT_ONCE) $(ON_POSTGRESQL)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# LANG is also a variable of most shells: only the one on the command line is meant. Times stay as they are in English.
CATALOGUE = locale/$(LANG)/LC_MESSAGES/django
messages: $(STAMP) ## write and compile the catalogue of a language, LANG=de: docs/translating.md
	@[ "$(origin LANG)" = "command line" ] || { echo "Name the language: make messages LANG=de"; exit 1; }
	@command -v xgettext >/dev/null && command -v msgfmt >/dev/null \
	  || { echo "GNU gettext (xgettext, msgfmt) is not installed: apt-get install gettext"; exit 1; }
	@[ -d scheduler_project/formats/$(LANG) ] || cp -R scheduler_project/formats/en_GB scheduler_project/formats/$(LANG)
	@LC_ALL=C.UTF-8 $(BIN)/python manage.py makemessages --locale $(LANG)
	@LC_ALL=C.UTF-8 msgfmt --check --statistics --output-file $(CATALOGUE).mo $(CATALOGUE).po

# Every package that is installed, with its hashes, from the exact versions in requirements*.in.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url
requirements: $(STAMP) ## write requirements*.txt, with hashes, from requirements*.in
	$(COMPILE) requirements-uv.in -o requirements-uv.txt
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) requirements-audit.in -o requirements-audit.txt

AUDIT := $(VENV)/audit
$(AUDIT)/.installed: requirements-audit.txt | $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(AUDIT)
	$(BIN)/uv pip install --quiet --python $(AUDIT)/bin/python --require-hashes -r $< \
	  || $(BIN)/pip --python $(AUDIT)/bin/python install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

sbom: $(AUDIT)/.installed ## write sbom.json: what the image installs, as CycloneDX
	$(AUDIT)/bin/cyclonedx-py requirements requirements.txt --output-reproducible --no-validate --of JSON -o sbom.json

# Without its database there is nothing to compare with, and CI goes on; any other fault, or a finding, is a failure.
UNREACHABLE := ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|HTTPError|ServiceError
audit: $(AUDIT)/.installed ## compare requirements.txt with the published vulnerabilities
	@if $(AUDIT)/bin/pip-audit --vulnerability-service osv --timeout 5 --progress-spinner off --disable-pip --require-hashes \
	  -r requirements.txt >$(AUDIT)/report 2>&1; then tail -n 1 $(AUDIT)/report; \
	elif grep -qE '$(UNREACHABLE)' $(AUDIT)/report; then \
	  echo "The database of vulnerabilities cannot be reached from here: requirements.txt was not audited"; \
	else cat $(AUDIT)/report; exit 1; fi

IMAGES := Dockerfile docker-compose.yml
digests: ## write today's digests of the base images into Dockerfile and docker-compose.yml
	@for image in $$(grep -hoE '[a-z]+:[0-9][A-Za-z0-9.-]*@sha256:[0-9a-f]{64}' $(IMAGES) | sort -u); do \
	  digest=$$(docker buildx imagetools inspect "$${image%@*}" --format '{{.Manifest.Digest}}') || exit 1; \
	  echo "$${image%@*}@$$digest"; \
	  sed -i.old "s|$$image|$${image%@*}@$$digest|" $(IMAGES) && rm -f $(addsuffix .old,$(IMAGES)); \
	done

SEEDS ?= 1 2 3
SECONDS ?= 30
FAULTS ?= 14
chaos: $(STAMP) ## break the whole service by SEEDS="1 2 3", DATABASE=sqlite or postgresql, SECONDS=30; compare its ledgers
	$(BIN)/python -m tests.chaos --seeds "$(SEEDS)" --database $(or $(DATABASE),sqlite) --seconds $(SECONDS) --faults $(FAULTS)

fuzz: $(STAMP) ## 100,000 odd answers, messages, headers, bodies, forms, addresses and variables
	EXAMPLES=200 $(BIN)/python -m pytest tests/fuzz -q -n 2 --timeout 7200

MINUTES ?= 10
RATE ?= 200
soak: $(STAMP) ## RATE=200 jobs a second for MINUTES=10, and whether the memory of every process stays flat
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --rate $(RATE) $(addprefix --database ,$(DATABASE))

benchmark: $(STAMP) ## measure the service; docs/benchmark.md says how
	$(BIN)/python manage.py benchmark

QUICK := submit drain-noop drain-call world-advance event-expiration
benchmark-quick: $(STAMP) ## the same for what matters most, a fifth of the size, beside Bull where Node is installed
	$(BIN)/python manage.py benchmark --runs 1 --size 0.2 $(addprefix --scenario ,$(QUICK)) \
	  --database sqlite --database postgresql $(if $(shell command -v npm),--against bull)

clean: ## delete the environment, the demo's data and all caches
	rm -rf $(VENV) var staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
