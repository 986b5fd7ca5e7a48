# zerohop: everything that can be done here. `make` lists it.
#
# Nothing is installed system-wide: Envoy, node, Binaryen and the V8 test runner go to .tools/, what
# is built to target/. The one exception is `rustup target add`, which extends this user's Rust
# toolchain.

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WASM := $(TARGET_DIR)/wasm32-wasip1/wasm-release/filter.wasm
CHAOS_WASM := $(TARGET_DIR)/chaos/filter.wasm
# The triple of the static agent. gcc serves musl for what little C there is.
MUSL ?= x86_64-unknown-linux-musl
BUILD_WASM := $(CARGO) build --locked --profile wasm-release -p filter --target wasm32-wasip1

# The system's own node, or the one that scripts/get-node.sh unpacked.
NODE = $(shell command -v node || echo .tools/node/bin/node)

# The tests that start Envoy measure time and share few cores, so they run one after the other.
export RUST_TEST_THREADS_E2E ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup build wasm wasm-chaos agent static-agent images test test-unit test-wasm test-pick test-e2e lint fmt demo demo-vllm \
	test-vllm test-kubernetes test-istio test-clients test-admission test-page test-docs test-observability docs bench bench-filter bench-pick bench-prefix bench-rewrite bench-policy bench-agent \
	bench-freshness bench-operating bench-envoy bench-routing bench-page bench-demo bench-admission clean

help: ## List what can be done
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Fetch what is missing: wasm targets (rustup), Envoy (into .tools)
	@if command -v rustup >/dev/null; then rustup target add wasm32-wasip1 wasm32-unknown-unknown; \
	else echo "setup: there is no rustup; the targets wasm32-wasip1 and wasm32-unknown-unknown must be there"; fi
	@scripts/get-envoy.sh

build: wasm agent ## Build the filter's wasm and the agent

wasm: setup ## Build the filter as it ships
	$(BUILD_WASM)
	@scripts/shrink-wasm.sh $(WASM)

wasm-chaos: setup ## Build the filter that panics on demand, for tests
	$(BUILD_WASM) --features chaos
	@scripts/shrink-wasm.sh $(WASM)
	@mkdir -p $(dir $(CHAOS_WASM)) && cp $(WASM) $(CHAOS_WASM)

agent: ## Build the agent as it ships
	$(CARGO) build --locked --release -p metrics-agent --features kubernetes

static-agent: ## Build the agent so that it needs nothing else (musl)
	@if command -v rustup >/dev/null; then rustup target add $(MUSL); \
	else echo "static-agent: there is no rustup; the target $(MUSL) must be there"; fi
	CC_$(subst -,_,$(MUSL))=$${CC:-gcc} $(CARGO) build --locked --release -p metrics-agent \
		--features kubernetes --target $(MUSL)

images: wasm static-agent ## Build both images into target/images and check them (needs buildah)
	scripts/build-images.sh $(TARGET_DIR)/$(MUSL)/release/zerohop-agent $(WASM)

test: test-unit test-wasm test-pick test-e2e ## Run every test

test-unit: ## Run the tests that need no Envoy
	$(CARGO) test --locked --workspace --exclude e2e --features metrics-agent/kubernetes,docs-tests/kubernetes

test-wasm: ## Run the pure crates' tests in V8
	scripts/test-wasm.sh

test-pick: ## Refuse a pick of more instructions than its budget (needs valgrind, else says so)
	scripts/bench-pick.sh gate

# The chaos build first: both end in the same file, and the last one is what ships.
test-e2e: ## Run the tests on real Envoy
	$(MAKE) wasm-chaos
	$(MAKE) wasm
	$(CARGO) build --locked -p metrics-agent
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --no-fail-fast -- --test-threads=$(RUST_TEST_THREADS_E2E)

docs: ## Write docs/configuration.md anew, from the types and the parsers
	WRITE_DOCS=1 $(CARGO) test --locked --quiet -p docs-tests --features kubernetes --test configuration

lint: ## Check format, lints, docs and licences as CI does
	.ci/lint.sh

fmt: ## Format everything
	$(CARGO) fmt --all

# Quick builds, which `make test` uses as well, both at once: whoever tries this waits for them. Setup comes
# first, because two cargos that fetch a toolchain would get in each other's way. What runs in the background
# does not hear of Ctrl-C by itself.
demo: setup ## Show routing and faults on 4 simulated pods (KEEP=1 stays up)
	@$(MAKE) wasm & filter=$$!; trap "kill $$filter" INT TERM; \
		$(CARGO) build --locked -p metrics-agent -p e2e --bin zerohop-agent --bin demo; built=$$?; \
		wait $$filter && exit $$built
	KEEP=$(KEEP) ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent $(TARGET_DIR)/debug/demo

demo-vllm: wasm agent ## The same over real vLLM replicas on the CPU (fetches vLLM, some GB)
	$(CARGO) build --locked --release -p e2e --bin demo
	vllm/setup.sh
	KEEP=$(KEEP) $(TARGET_DIR)/release/demo --vllm

test-vllm: wasm ## Repeat the tests that need no simulator on real vLLM (fetches it, some GB)
	$(CARGO) build --locked -p metrics-agent
	vllm/setup.sh
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --test vllm -- --ignored --test-threads=1

test-admission: wasm ## Admission under load on real Envoy: overload, two tenants, a great flood
	$(CARGO) build --locked -p metrics-agent
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --no-fail-fast --test admission_load --test admission_flood -- --ignored --nocapture --test-threads=1

test-kubernetes: wasm ## Run the Kubernetes source and deploy/ against a real API server (builds it, needs Go)
	scripts/get-kubernetes.sh
	$(CARGO) build --locked -p metrics-agent --features kubernetes
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --features kubernetes --test kubernetes -- --ignored --test-threads=1

test-istio: wasm ## Run the Istio files as a real istiod makes them, on a real API server (builds both, needs Go)
	scripts/get-kubernetes.sh && scripts/get-istio.sh
	$(CARGO) build --locked -p metrics-agent
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --features kubernetes --test istio -- --ignored --test-threads=1

test-clients: wasm ## Run guidellm, inference-perf and the official clients through Envoy (needs Python 3.12)
	clients/setup.sh
	$(CARGO) build --locked -p metrics-agent
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --test clients -- --ignored --test-threads=1

test-page: ## Run the status page in a real Chromium; screenshots go to target/page
	scripts/get-node.sh && scripts/get-chromium.sh
	$(CARGO) build --locked -p metrics-agent --example status_stage
	STATUS_STAGE=$(abspath $(TARGET_DIR))/debug/examples/status_stage $(NODE) --test metrics-agent/tests/page/
	STATUS_STAGE=$(abspath $(TARGET_DIR))/debug/examples/status_stage $(NODE) metrics-agent/tests/page/shots.mjs $(TARGET_DIR)/page

test-docs: wasm agent ## Run the documentation's dear commands too: the demo, every test, the benches (about an hour)
	$(CARGO) build --locked -p metrics-agent -p model-sim
	$(CARGO) test --locked -p docs-tests --features kubernetes --test commands -- --ignored --nocapture

test-observability: wasm ## Make every alert fire in promtool, and run rules and dashboard in a real Prometheus (Debian: apt install prometheus)
	scripts/get-prometheus.sh
	$(CARGO) build --locked -p metrics-agent
	ZEROHOP_AGENT=$(abspath $(TARGET_DIR))/debug/zerohop-agent \
		$(CARGO) test --locked -p e2e --test prometheus -- --ignored --nocapture

bench: bench-filter bench-pick bench-prefix bench-policy bench-agent bench-freshness ## Run all benches; figures go to target/bench

bench-filter: wasm ## CPU per request that the filter adds, beside ext_proc
	$(CARGO) build --locked --release -p e2e --bin bench-filter
	$(TARGET_DIR)/release/bench-filter

bench-pick: ## One pick in V8, at 10, 100 and 1,000 endpoints
	scripts/bench-pick.sh

bench-prefix: ## Memory and time of the prefix index
	scripts/bench-prefix.sh

bench-rewrite: wasm ## CPU per request that rewriting a model adds
	$(CARGO) build --locked --release -p e2e --bin bench-rewrite
	$(TARGET_DIR)/release/bench-rewrite

bench-policy: wasm agent bench-rewrite ## Policies: from a file to every worker, their size and decoding, the agent's memory, what rewriting adds
	scripts/bench-policy.sh

bench-agent: ## The agent with 100 endpoints at 200 ms and 50 ms
	$(CARGO) bench --locked -p metrics-agent --bench agent

bench-operating: ## What metrics cost a request and a chunk of a stream, in V8
	@scripts/get-node.sh >/dev/null
	$(CARGO) build --locked --profile wasm-release -p filter --target wasm32-wasip1 --example operating_bench
	@mkdir -p $(TARGET_DIR)/bench
	PATH="$$PATH:.tools/node/bin" node --no-warnings --no-liftoff scripts/operating-bench.mjs \
		$(TARGET_DIR)/wasm32-wasip1/wasm-release/examples/operating_bench.wasm $(TARGET_DIR)/bench/operating.json

bench-freshness: wasm agent ## From "pod changed" to "picks changed"
	$(CARGO) build --locked --release -p e2e --bin bench-freshness
	$(TARGET_DIR)/release/bench-freshness

bench-envoy: wasm agent ## Where Envoy's round robin breaks down, and ours at that load (14 min, QUICK=1 only tries it)
	$(CARGO) build --locked --release -p e2e --bin bench-envoy
	$(TARGET_DIR)/release/bench-envoy $(if $(QUICK),--quick)

bench-page: ## First paint of the status page at 500 pods, and what it costs the agent
	scripts/get-node.sh && scripts/get-chromium.sh
	$(CARGO) build --locked --release -p metrics-agent --example status_stage
	STATUS_STAGE=$(abspath $(TARGET_DIR))/release/examples/status_stage $(NODE) metrics-agent/tests/page/bench.mjs $(TARGET_DIR)/bench/operating.json

bench-demo: ## From a fresh clone to the first table of make demo, in seconds
	scripts/bench-demo.sh $(TARGET_DIR)/bench/operating.json

bench-admission: wasm ## Overload: goodput and TTFT by priority against the reference's rule (simulated), speed in V8, wake-ups in Envoy
	scripts/bench-admission.sh --write-docs
	$(CARGO) build --locked --release -p e2e --bin bench-wakeup
	$(TARGET_DIR)/release/bench-wakeup

bench-routing: ## Simulate every policy on every workload, judge ours, draw the seed's benchmark
	$(CARGO) build --locked --release -p routing-sim --bin bench-routing
	$(TARGET_DIR)/release/bench-routing $(BENCH_ROUTING_OPTIONS)

clean: ## Remove what was built (not what was fetched)
	$(CARGO) clean
