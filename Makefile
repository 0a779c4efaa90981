# The verbs of this project. `make demo` and `make test` are the two a newcomer needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
RELEASE := target/release
PREFIX ?= $(HOME)/.local
TERRAFORM ?= $(shell command -v terraform 2>/dev/null || command -v tofu 2>/dev/null)
# nextest runs the tests of all crates side by side; plain cargo needs nothing installed.
RUN_TESTS := $(if $(shell command -v cargo-nextest 2>/dev/null),$(CARGO) nextest run --locked --workspace --no-fail-fast,$(CARGO) test --locked --workspace --no-fail-fast)
export CHECKPOINT_DISABLE := 1
export CARGO_TERM_COLOR ?= auto

# `make fuzz FUZZ=marks FUZZ_SECONDS=60` runs one target for a minute.
FUZZ ?= $(basename $(notdir $(wildcard tests/fuzz/fuzz_targets/*.rs)))
FUZZ_SECONDS ?= 600
ADVISORIES := $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/advisory-dbs/advisory-db-*)

.PHONY: help demo build test check format lint deny fuzz docs docs-check bench soak install clean

help: ## what each verb does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

build: ## the provider, the reaper and the simulator, as shipped
	$(CARGO) build --release --locked -p dynvm -p reaper -p sim

demo: build ## four servers from nothing to nothing, one of them by the reaper, on the embedded simulator
	@TERRAFORM="$(TERRAFORM)" BIN="$(abspath $(RELEASE))" examples/demo.sh

test: ## every test, the real terraform and the foreign XenAPI clients included
	$(CARGO) build --locked -p dynvm -p reaper -p sim
	$(RUN_TESTS)

check: format lint docs-check ## format, lints, docs drift: all that CI checks besides the tests

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

deny: ## licences, versions and sources of the libraries; their known vulnerabilities where the list of them is at hand
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing; get it with: cargo install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check licenses bans sources
	@if [ -n "$(ADVISORIES)" ]; then $(CARGO) deny --locked --offline check advisories; \
	else echo "vulnerabilities: not checked, as their list is not here; get it with: cargo deny fetch"; fi

# RUSTC_BOOTSTRAP: the instrumentation wants a nightly compiler otherwise. No sanitizer: what is fuzzed has no unsafe code.
fuzz: ## ten minutes of libFuzzer for each target of tests/inputs, or for those in FUZZ
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing; get it with: cargo install --locked cargo-fuzz" >&2; exit 1; }
	for target in $(FUZZ); do \
	  mkdir -p "tests/fuzz/found/$$target"; \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz -s none "$$target" "tests/fuzz/found/$$target" "tests/fuzz/corpus/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10; \
	done

docs: ## writes the reference pages anew from the attribute tables and the examples
	$(CARGO) run --locked -q -p dynvm --bin dynvm-docs -- write

docs-check:
	$(CARGO) run --locked -q -p dynvm --bin dynvm-docs -- check

bench: build ## the figures of README and docs, against the simulator
	$(CARGO) build --release --locked -q -p acceptance --bins
	$(RELEASE)/bench

soak: ## two hours of a busy lab in virtual time, some minutes of yours; SEED=7 runs the same again, MINUTES=120 PIPELINES=30
	$(CARGO) build --release --locked -q -p soak
	SEED="$(SEED)" MINUTES="$(MINUTES)" PIPELINES="$(PIPELINES)" $(RELEASE)/soak

install: build ## the provider into the plugin folder that terraform and tofu search by themselves, the reaper into PREFIX/bin
	$(RELEASE)/terraform-provider-dynvm install
	install -D -m 0755 $(RELEASE)/dynvm-reaper $(DESTDIR)$(PREFIX)/bin/dynvm-reaper

clean:
	$(CARGO) clean
