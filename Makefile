# The two commands are `make demo` and `make test`. Each sees to all it needs: a Python environment in .venv and a
# ZooKeeper. Written for GNU make 3.81 and up.
#
#     PYTHON=/path/to/python3    the Python to use, 3.11 or later; found by itself if not given
#     VENV=.venv-3.13            where its environment is, so that several Pythons stay side by side
#     SOURCE=container           the ZooKeeper to use: auto (the default), hosts, container or local
#     ZOOKEEPER=3.9.5            its version; any if not given
#     ARGS='...'                 further arguments for the demo, for pytest, or for what else runs
#     WORKERS=4                  processes that run tests at the same time
#     TURNS=1000                 how often each takes a lock in `make interop`
#     INTEROP=short              which tests of `make interop`: all, or all but those that take minutes
#     DOCKER=short               which tests of `make interop-docker`: all, or the most important ones
#     KUBERNETES=tests/...       which tests of `make interop-kubernetes` without containers
#     PODS=short                 and which with containers: all, the most important ones, or none
#     MINUTES=60 SEED=7          how long `make chaos` goes on, and its schedule
#     TRIES=20 T=4 RULE=new      how often `make leases` tries each attack, the session timeout, and the rule under attack

PYTHON ?=
SOURCE ?= auto
ZOOKEEPER ?=
ARGS ?=
VENV ?= .venv
WORKERS ?= 2
COVERAGE ?= --cov
FUZZ ?= 20
MINUTES ?= 1
SEED ?=
TRIES ?= 20
TURNS ?= 100
INTEROP ?= all
DOCKER ?= all
KUBERNETES ?= tests/interop/kubernetes --ignore tests/interop/kubernetes/pods
PODS ?= all
T ?= 4
RULE ?= new
export PYTHON
export VENV
ifneq ($(ZOOKEEPER),)
export ZKDISCOVERY_ZOOKEEPER_VERSION := $(ZOOKEEPER)
endif

BIN := $(VENV)/bin

.PHONY: help demo test test-covered test-faults test-connection test-containers test-python test-servers edits interop interop-docker interop-kubernetes interop-pods lint typecheck docs chaos plants leases commands increments fuzz clean setup
.PHONY: server
.PHONY: bench bench-quick bench-outages bench-balancing bench-setup

help:
	@echo 'make demo        watch services register, be discovered, called and led, on a real ZooKeeper (a minute)'
	@echo 'make test        all tests, with branch coverage; ZOOKEEPER=3.9.5 on that version of ZooKeeper'
	@echo 'make test-covered      its first part: all tests but those of faults, with branch coverage'
	@echo 'make test-faults       its second part: the tests of faults'
	@echo 'make test-connection   the tests near the wire, for one more version: ZOOKEEPER=3.8.6'
	@echo 'make test-containers   the tests of servers in containers'
	@echo 'make test-python       the tests for one more Python: PYTHON=python3.13 VENV=.venv-3.13'
	@echo 'make test-servers      every web server and caller under 100 calls a second, and other loads in full (20 minutes)'
	@echo 'make lint        ruff, mypy and import-linter'
	@echo 'make typecheck   mypy alone'
	@echo 'make docs        the documentation, in site/'
	@echo 'make bench       the benchmarks beside kazoo, tooz and Curator (15 minutes), with the targets met and missed'
	@echo 'make bench-quick the same in 2 minutes, to see that they run'
	@echo 'make interop     Curator, kazoo, Spring Cloud, Eureka and Consul beside us (10 minutes, and one more to get them);'
	@echo '                 INTEROP=short: in 3 minutes'
	@echo '                 TURNS=1000: how often each takes a lock'
	@echo 'make interop-docker    real Docker engines and Swarms that are followed (as root; 10 minutes, and one more to get them);'
	@echo '                       DOCKER=short: in 2 minutes'
	@echo 'make interop-kubernetes   a real Kubernetes that is followed and shown our services; Go builds it'
	@echo 'make interop-pods         its part with real containers: our image and ZooKeeper as pods (as root, on Debian);'
	@echo '                          PODS=short: in 3 minutes'
	@echo 'make fuzz        hostile data and altered answers, FUZZ=20 times as many as in make test'
	@echo 'make chaos       clients under random faults, checked: MINUTES=1 SEED=... (the same seed, the same schedule)'
	@echo 'make plants      are planted bugs found by it? (up to 20 minutes)'
	@echo 'make leases      attacks on leases: TRIES=20 of each at T=4 s (40 minutes); RULE=old or repair: do they bite?'
	@echo 'make increments  8 processes, 10000 increments, members killed and clients stopped: is one lost? (30 minutes)'
	@echo 'make edits       1000 edits of configuration for 100 readers under faults, and the planted bugs (10 minutes)'
	@echo 'make commands    attacks on `zkdiscovery lock` and what it runs: TRIES=20 of each (10 minutes)'
	@echo 'make bench-balancing   the simulation of load balancing, with its tables and pictures in docs/'
	@echo 'make bench-outages     how long outages take (10 minutes)'
	@echo 'make setup       the Python environment in .venv alone'
	@echo 'make clean       remove the environment and all that was built'

demo: server
	@$(BIN)/zkdiscovery demo --source $(SOURCE) $(ARGS)

# The files of tests are dealt out to so many processes, each with servers of its own: tests wait more than they compute.
# tests/conftest.py sorts them. Their temporary files lie outside the clone, where no test meets the clone's own settings,
# and are removed.
define pytest
@temporary=$$(mktemp -d) && trap 'rm -rf "$$temporary"' EXIT && trap 'exit 130' INT TERM && \
$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder \
	--basetemp="$$temporary/pytest" --zkdiscovery-source=$(SOURCE) $(1) $(ARGS)
endef

# The same in one process, and after another command.
define pytest_alone
@temporary=$$(mktemp -d) && trap 'rm -rf "$$temporary"' EXIT && trap 'exit 130' INT TERM && \
$(1) $(BIN)/python -m pytest --basetemp="$$temporary/pytest" $(2) $(ARGS)
endef

test:
	@$(MAKE) --no-print-directory --keep-going test-covered test-faults

test-covered: server
	$(call pytest,$(COVERAGE) --ignore=tests/faults)

# Without coverage, whose measurement doubles the work of all Python code.
test-faults: server
	$(call pytest,tests/faults)

# These wait more than the others.
test-connection test-python: WORKERS = 3

test-connection: server
	$(call pytest,-m "not links" tests/integration/session tests/integration/znodes tests/faults/session)

test-containers: SOURCE := container
test-containers: server
	$(call pytest,-m container)

test-python: server
	$(call pytest,tests/unit tests/integration/session tests/integration/aio)

test-servers: server
	@ZKDISCOVERY_TEST_LOAD=all $(BIN)/python -m pytest tests/faults/servers tests/integration/servers \
		tests/faults/registrations/test_shared_recycles.py tests/faults/discovery/test_cache_churn.py \
		tests/faults/discovery/test_cache_servers.py --zkdiscovery-source=$(SOURCE) -s $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

typecheck: setup
	$(BIN)/mypy

docs: setup
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[docs]'
	$(BIN)/mkdocs build --strict

# Curator is one of the peers where there is a JDK, and `make interop` got it, or Debian's libcurator-discovery-java and
# libcurator-recipes-java are installed.
bench: server bench-setup
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: server bench-setup
	@$(BIN)/python -m benchmarks --quick $(ARGS)

bench-outages: server
	@$(BIN)/python -m benchmarks.outages $(ARGS)

bench-setup: setup
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[bench]'

# Foreign systems beside us: Curator, Spring Cloud and its Eureka, which Maven gets, and Consul of Debian's archive.
interop: server
	@sh scripts/build_interop.sh
	@sh scripts/get_consul.sh >/dev/null
	$(call pytest_alone,TURNS=$(TURNS),tests/interop --ignore tests/interop/docker --ignore tests/interop/kubernetes \
		$(if $(filter short,$(INTEROP)),-m "not long") --zkdiscovery-source=$(SOURCE))

# Docker engines, which Debian's archive has; where that can't be had, the machine's own. They are got before the tests,
# which see no network.
interop-docker: server
	@sh scripts/get_docker.sh >/dev/null || command -v dockerd >/dev/null
	$(call pytest_alone,sh scripts/isolated.sh,tests/interop/docker $(if $(filter short,$(DOCKER)),-m short) \
		--zkdiscovery-source=local)

# A Kubernetes, which Go builds from its modules; apart, because the first build takes minutes. First without containers,
# then with a node that runs some: containerd is of Debian's archive, and the images are built here.
interop-kubernetes: server
	@sh scripts/build_kubernetes.sh
	$(call pytest_alone,,$(KUBERNETES) --zkdiscovery-source=$(SOURCE) -s)
	@$(if $(filter none,$(PODS)),true,$(MAKE) --no-print-directory interop-pods)

interop-pods: server
	@sh scripts/build_kubernetes.sh
	@sh scripts/build_pod_images.sh
	$(call pytest_alone,sh scripts/isolated.sh,tests/interop/kubernetes/pods $(if $(filter short,$(PODS)),-m short) \
		--zkdiscovery-source=local -s)

chaos: server
	@$(BIN)/python -m tests.faults.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --source $(SOURCE) $(ARGS)

plants: server
	@$(BIN)/python -m tests.faults.chaos.plants $(if $(SEED),--seed $(SEED)) --source $(SOURCE) $(ARGS)

# Processes of this machine alone: an attack holds what one of them says to another.
leases: server
	@$(BIN)/python -m tests.faults.leases --tries $(TRIES) --timeout $(T) --rule $(RULE) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

increments: server
	@$(BIN)/python -m tests.faults.increments $(ARGS)

edits: server
	@$(BIN)/python -m tests.faults.config.edits $(ARGS)

commands: server
	@$(BIN)/python -m tests.faults.commands --times $(TRIES) --source $(SOURCE) $(ARGS)

fuzz: server
	@FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/faults/fuzzing --timeout=0 --zkdiscovery-source=$(SOURCE) $(ARGS)

bench-balancing: bench-setup
	$(BIN)/python -m benchmarks.balancing $(ARGS)

setup:
	@sh scripts/setup_python.sh

server: setup
	@sh scripts/setup_zookeeper.sh $(SOURCE)

clean:
	rm -rf .venv .venv-* .cache .coverage .coverage.* htmlcov dist build site
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
