# README.md names demo and test, docs/CLI.md the others that a reader may need.
# Everything they need is installed by `setup`, which does nothing when it is there.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# What these targets build, they mostly build once: without the files for the next build and the debug
# information of our own crates it takes a sixth less. Panics say their line all the same. Cargo keeps
# builds with other settings beside these.
export CARGO_INCREMENTAL ?= 0
export CARGO_PROFILE_DEV_DEBUG ?= 0
BIN := target/release/cadmill
REAL := tests/fixtures/real
# Lints what cargo compiles, while it is compiled.
LINT := RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tests/clippy_rustc.sh"
CARGO_DENY_VERSION := 0.20.2
# Of the images; without a base one is made of Debian's packages.
BASE ?=
ARCH ?= amd64

# What a build takes: headers and libraries of the engines, libclang for bindgen, and a C
# compiler.
BUILD_PACKAGES := libassimp-dev libgdal-dev libclang-dev gcc libc6-dev

# What the OpenCASCADE plugin takes.
OCCT_PACKAGES := libocct-data-exchange-dev cmake make g++

# What the page is built with. Any Node with npm is sufficient; it need not be Debian's.
PAGE_PACKAGES := nodejs npm

# And what the tests take: the vendors' own command line tools, whose output ours is
# compared with, other readers and writers of archives, models of OpenCASCADE, the libraries
# of X11 and OpenGL that gmsh is linked with, strace, which observes workers, Java with Maven
# for the bridge, and Python, Node and Maven for what is no Debian package: the requirements.txt
# of tests and tests/plugins, and writers, emulators and models in tests/fixtures.
# setpriv of util-linux ends the emulators of AWS with the tests. g++ builds libFuzzer. The page is tested in
# Chromium, with a font for Korean.
PACKAGES := $(BUILD_PACKAGES) $(OCCT_PACKAGES) util-linux assimp-utils gdal-bin unzip python3 python3-venv libarchive-tools p7zip-full zip jq openssl default-jdk-headless maven $(PAGE_PACKAGES) chromium fonts-nanum strace faketime occt-misc libopenctm-dev patch libglu1-mesa libxcursor1 libxft2 libxinerama1

# What the kernel of `nightly` is booted with; the kernel itself is unpacked, not installed.
NIGHTLY_PACKAGES := qemu-system-x86 busybox-static jq util-linux

# What the images are built and run with, without systemd and a registry.
CONTAINER_PACKAGES := podman podman-compose runc buildah mmdebstrap netavark aardvark-dns catatonit jq openssl

.PHONY: help setup setup-build page build demo test test-containers nightly lint deny bench scale fuzz graph pictures images clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what is missing (Debian packages; needs root or sudo for that)
	@docker/setup.sh $(PACKAGES)
	@docker/python_tools.sh
	@docker/python_tools.sh tests/plugins/requirements.txt target/oracle-tools
	@docker/python_tools.sh tests/aws/requirements.txt target/lint-tools
	@docker/node_tools.sh
	@docker/java_tools.sh
	@docker/prometheus.sh
	@docker/node_tools.sh tests/fixtures/emulators target/emulators-node
	@docker/java_tools.sh tests/fixtures/emulators target/emulators-java
	@docker/node_tools.sh tests/fixtures/models target/models-node
	@docker/node_tools.sh tests/end_to_end/page target/browser-node
	@docker/page.sh
	@native-sys/java/build.sh
	@native-sys/plugins/occt/build.sh

setup-build:
	@docker/setup.sh $(BUILD_PACKAGES)

page: ## Build the page of the API, which the next build of the programs embeds
	@docker/setup.sh $(PAGE_PACKAGES)
	@docker/page.sh

build: setup ## Build the release binaries
	$(CARGO) build --release --workspace --locked

# With the profile of the tests, and with an example, which is built with the features that tests select: so
# these compile nothing of it a second time.
demo: setup-build page ## Serve, submit real files, and say where the results lie; with SERVE=1 it serves the page until it is stopped
	$(CARGO) build --workspace --bins --example engine-host-unconfined --locked
	@SERVE=$(SERVE) tests/demo.sh target/debug/cadmill $(REAL) demo-out

test: setup ## Check the format, lint, and run every test
	$(CARGO) fmt --all --check
	@# Programs without engines in Java, which are refused by them, and then everything: the
	@# end-to-end tests start every program, and cargo builds one of them for itself.
	$(LINT) CARGO="$(CARGO)" tests/without_jvm.sh
	$(LINT) CARGO="$(CARGO)" tests/run.py

test-containers: setup ## Build the images, run them with docker/compose.yaml through faults, and attack the engine process there, without privileges
	@docker/setup.sh $(CONTAINER_PACKAGES)
	$(CARGO) build --workspace --bins --examples --locked
	$(CARGO) test --workspace --test end_to_end --no-run --locked
	docker/test_containers.sh

nightly: setup ## Run the tests that `make test` leaves out, the largest job of docs/DEPLOY-AWS.md in containers of its size, and the attacks on the engine process on Debian 12's own kernel, 6.1, in qemu; needs root, at most an hour
	@docker/setup.sh $(NIGHTLY_PACKAGES) $(CONTAINER_PACKAGES)
	$(CARGO) build --workspace --bins --examples --locked
	$(CARGO) test --workspace --test end_to_end --no-run --locked
	versitygw=$$(tests/nightly/versitygw.sh) && TEST_VERSITYGW=$$versitygw CARGO="$(CARGO)" tests/run.py --ignored
	@# The properties of pure logic, with sixteen times the examples.
	PROPTEST_CASES=4096 CARGO="$(CARGO)" tests/run.py domain:: properties:: inflate64::
	PARTS=sizes docker/test_containers.sh
	CARGO="$(CARGO)" tests/nightly/kernel_6_1.sh

lint: setup ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## Check licences, sources and duplicates of the dependencies
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --version $(CARGO_DENY_VERSION) --locked
	$(CARGO) deny --workspace check licenses bans sources

bench: build ## Measure the API under load and under bad tokens, the intake, the wiping, the confinement, the JVM, drawings, CAD models, then conversions; more than an hour
	@docker/python_tools.sh tests/bench/requirements.txt target/bench-tools
	@# Without the simulation, whose clock can be driven: no program that is measured has it.
	$(CARGO) build --release --workspace --exclude cadmill-scale --examples --locked
	python3 tests/bench/api.py --bin target/release
	python3 tests/bench/bad_tokens.py --bin target/release
	python3 tests/bench/intake.py --bin target/release --aws target/bench-tools/bin/aws $(INTAKE_ARGS)
	python3 tests/bench/wipe.py --bin target/release
	target/release/examples/mapping
	python3 tests/bench/confinement.py --bin target/release --generator target/release/examples/big-shapefile
	python3 tests/bench/jvm.py --bin target/release --java target/java
	python3 tests/bench/drawing.py
	python3 tests/bench/occt.py
	target/release/examples/big-shapefile target/bench-town.zip --zip-bytes 260M
	python3 tests/bench/egress.py target/bench-town.zip --programs target/release
	python3 tests/bench/convert.py --cadmill $(BIN) --generator target/release/examples/big-shapefile $(BENCH_ARGS)

scale: setup ## Simulate days with up to a million jobs, and draw the plot of docs/SCALE.md; minutes
	mkdir -p target/scale
	CADMILL_SCALE_RESULTS=$(CURDIR)/target/scale $(CARGO) test --workspace --test scale --locked -- --ignored --nocapture
	tests/scale/plot.py target/scale docs/SCALE.md docs/pictures/scale.svg

fuzz: setup ## Fuzz the archive reader for FUZZ_SECONDS (1800), with unzip, bsdtar, Python and Java as the oracle; needs Rust nightly
	fuzz/run.sh

graph: setup ## Draw which folder imports which, into target/imports.svg
	@docker/setup.sh graphviz
	CADMILL_IMPORTS=$(CURDIR)/target/imports.dot $(CARGO) test --workspace --test end_to_end --locked -- imports
	dot -Tsvg target/imports.dot -o target/imports.svg

pictures: build ## Draw docs/pictures, which docs/DXF.md shows
	@docker/setup.sh fonts-nanum
	@docker/python_tools.sh docs/pictures/requirements.txt target/pictures-tools
	XDG_CACHE_HOME=target/pictures-tools target/pictures-tools/bin/python3 docs/pictures/draw.py $(CURDIR)/$(BIN) $(REAL) docs/pictures

images: setup ## Build the container images, and print their sizes: TARGETS="worker api" of docker/Dockerfile, on BASE=IMAGE@DIGEST, for ARCH=arm64 with a cross compiler, or with PROGRAMS=source inside
	@docker/setup.sh $(if $(shell command -v podman || command -v buildah || { docker info >/dev/null 2>&1 && echo docker; }),jq,podman runc jq)
ifeq ($(PROGRAMS),)
	@docker/setup.sh $(if $(filter arm64,$(ARCH)),gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
	rm -rf target/images/$(ARCH)
	CARGO="$(CARGO)" docker/programs.sh $(ARCH) target/images/$(ARCH)
endif
	BASE="$(BASE)" ARCH=$(ARCH) PROGRAMS="$(PROGRAMS)" docker/images.sh $(TARGETS)

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf demo-out api/page/dist
