# The two commands are `make run` and `make test`; README.md says what you see.
# deploy/bootstrap.py makes .venv and installs the hashed requirements, then becomes the command.

SHELL := /bin/sh
PYTHON ?= $(shell sh deploy/find-python)
SET_UP = exec $(PYTHON) deploy/bootstrap.py
FAST = not slow and not needs_debian

.PHONY: run test test-all reliability fuzz lint lock venv

run:
	@$(SET_UP) base -m mxax.launcher run

test:
	@$(SET_UP) dev -m pytest -n 2 -m "$(FAST)"

# The rest: whole services, kills, packages of Debian. Files stay together: they share a service.
test-all: test
	@$(SET_UP) browser -m pytest -n 2 --dist loadfile -m "not ($(FAST))"

reliability:
	@$(SET_UP) dev -m pytest -m reliability --full-size

# Nonsense for the dialogue and for all that reads mail, as long as you like.
fuzz: export FUZZ_SECONDS ?= 600
fuzz:
	@$(SET_UP) dev -m pytest tests/promises/test_fuzzing.py -s --timeout=0

venv:
	@$(SET_UP) dev

# The settings want a database's name; nothing here connects to one.
lint: export DATABASE_URL = postgresql://nobody:nothing@127.0.0.1:1/nothing
lint: export CELERY_BROKER_URL = redis://127.0.0.1:1/0
lint:
	@$(PYTHON) deploy/bootstrap.py dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	.venv/bin/lint-imports
	.venv/bin/python manage.py makemigrations --check --dry-run

# Takes the newest versions that requirements/*.in allow, for every Python and platform we support.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"
lock:
	@command -v uv >/dev/null || { echo "lock: uv is missing: pipx install uv" >&2; exit 1; }
	$(LOCK) requirements/base.in -o requirements/base.txt
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) requirements/browser.in -o requirements/browser.txt
