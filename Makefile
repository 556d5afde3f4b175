# What developers and CI run. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up build test schedules bench bench-watcher lint sqlx clean prerequisites

TARGET := $(or $(CARGO_TARGET_DIR),target)
STACK := $(TARGET)/debug/stack
BINS := -p quittance-api -p quittance-worker -p quittance-watcher -p quittance-tests -p quittance-chain --bins
# The queues that Quittance is compared with take part in the part `pay` alone.
WITH_PEERS := $(if $(PART),$(filter pay,$(PART)),pay)

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

up: build ## start Quittance here with demo data, and stay until Ctrl-C (QUITTANCE_PORT, default 8080)
	@exec setpriv --pdeathsig TERM -- "$(STACK)" up

build: prerequisites ## build the programs
	@[[ -x "$(STACK)" ]] || echo "Building Quittance; the first time takes about ten minutes on two cores, later ones take seconds."
	@cargo build --locked $(BINS)

# Programs and tests in one build: apart, features that only tests need would have each crate built twice.
test: prerequisites ## run all tests, on a temporary Postgres, Redis and chain
	@tests/kit/prerequisites.sh
	@cargo build --locked --workspace --bins --tests
	@exec "$(STACK)" test -- cargo test --locked --workspace

schedules: prerequisites ## run random schedules over nodes that lie (QUITTANCE_SCHEDULES=10000: so many)
	@cargo build --locked --workspace --bins --tests
	@QUITTANCE_SCHEDULE_SEED=$${QUITTANCE_SCHEDULE_SEED:-random} exec "$(STACK)" test -- \
	    cargo test --locked --workspace --test chain_schedules -- --nocapture

bench: prerequisites ## measure everything on stacks of its own (QUICK=1: in two minutes instead of ten; PART=pay: one part)
	@$(if $(WITH_PEERS),tests/bench/peers/prerequisites.sh)
	@cargo build --locked --release $(BINS)
	@ulimit -n "$$(ulimit -Hn)"; exec setpriv --pdeathsig TERM -- "$(TARGET)/release/bench" $(if $(QUICK),--quick) $(PART)

bench-watcher: ## measure the watcher more thoroughly (QUICK=1: less)
	@$(MAKE) --no-print-directory bench PART=watcher

lint: ## check the format and the lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# The macros check each query against a fresh database and write down what they learned. The sources are touched because
# cargo does not know that the macros depend on the schema. Swapped only when everything compiled. Without the tests, which
# have no such queries, but a dependency that has its own, for a schema of its own.
define REFRESH
trap 'rm -rf .sqlx.new' EXIT; rm -rf .sqlx.new; mkdir .sqlx.new; \
find . -path ./target -prune -o -name "*.rs" -exec touch {} +; \
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$$PWD/.sqlx.new" \
    cargo check --workspace --exclude quittance-chain --exclude quittance-tests --all-targets --locked; \
mkdir -p .sqlx; rm -f .sqlx/*.json; \
if compgen -G ".sqlx.new/*.json" >/dev/null; then mv .sqlx.new/*.json .sqlx/; fi
endef
export REFRESH

sqlx: prerequisites ## refresh the committed query data in .sqlx from migrations/
	@cargo build --locked -p quittance-tests --bins
	@"$(STACK)" database -- bash -euo pipefail -c "$$REFRESH"

clean: ## remove what was built, and the local stack's data
	@if [[ -e .dev/lock ]] && ! flock --nonblock .dev/lock true; then \
	    echo "error: the local stack is running; stop it first (Ctrl-C)" >&2; exit 1; fi
	@if [[ -L .dev/data && $$(readlink .dev/data) == /var/tmp/quittance-* ]]; then rm -rf -- "$$(readlink .dev/data)"; fi
	rm -rf .dev tests/kit/client/node_modules tests/kit/client/judge/node_modules tests/bench/peers/node_modules
	cargo clean

prerequisites:
	@tests/stack/prerequisites.sh
