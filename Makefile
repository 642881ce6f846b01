# The two commands of a newcomer are `make demo` and `make test`. `make help` lists the rest.

CARGO ?= cargo
# One set of features for all of them: nothing is built twice.
WORKSPACE := --workspace --features ses-operator/simulated-time --locked
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: demo
demo: rig ## Show the main job: a SesDomain becomes Ready, is repaired, walks to reject, is deleted (KEEP=1: stays)
	@SES_OPERATOR_BINARY=$(TARGET)/debug/ses-operator $(TARGET)/debug/demo

.PHONY: test
test: needs ## Run every test, on a real control plane and an AWS that tells the truth
	@$(CARGO) build --workspace --locked
	@cp $(TARGET)/debug/ses-operator $(TARGET)/debug/ses-operator-plain
	@$(MAKE) --no-print-directory rig
	@$(CARGO) test $(WORKSPACE)

.PHONY: bench
bench: rig ## Measure calls, memory and time against AWS's quotas, in an hour (ONLY="ready settled": some parts)
	@$(CARGO) build $(WORKSPACE) --profile measured --bin ses-operator --bin bench
	@SES_OPERATOR_BINARY=$(TARGET)/measured/ses-operator $(TARGET)/measured/bench $(ONLY)

.PHONY: bench-check
bench-check: rig ## Compare the calls of small runs with the committed figures
	@SES_OPERATOR_BINARY=$(TARGET)/debug/ses-operator $(TARGET)/debug/bench --check

.PHONY: simulate
simulate: ## Play seeds of the simulation: SEEDS of one domain (10000), a hundredth of fifty domains
	@SEEDS=$(or $(SEEDS),10000) $(CARGO) test $(WORKSPACE) --profile simulated --test simulation -- whatever_goes_wrong --nocapture --test-threads 1

.PHONY: lint
lint: needs ## fmt and clippy, warnings as errors
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy $(WORKSPACE) --all-targets -- --deny warnings
	@$(CARGO) clippy -p ses-operator --locked -- --deny warnings

.PHONY: generate
generate: needs ## Write what is made from the Rust types, the chart's values and the benchmark's figures
	@$(CARGO) build $(WORKSPACE) --quiet
	@SES_OPERATOR_BINARY=$(TARGET)/debug/ses-operator config/generate

.PHONY: check-generated
check-generated: needs ## Fail when a generated file differs from what it is made of
	@$(CARGO) build $(WORKSPACE) --quiet
	@SES_OPERATOR_BINARY=$(TARGET)/debug/ses-operator config/generate --check

# Everything that the demo and the tests stand on: the programs of the control plane, Helm, the Python environment.
.PHONY: rig
rig: needs
	@$(CARGO) build $(WORKSPACE)
	@$(TARGET)/debug/rig setup > /dev/null

.PHONY: needs
needs:
	@command -v $(CARGO) > /dev/null || { echo 'Rust is missing: install it with rustup; rust-toolchain.toml names the version' >&2; exit 1; }
	@command -v go > /dev/null || { echo 'Go is missing: it builds the Kubernetes control plane; install 1.26 or newer' >&2; exit 1; }
	@command -v python3 > /dev/null || { echo 'Python 3 is missing: it runs the AWS of the tests; install 3.10 or newer, with venv' >&2; exit 1; }
