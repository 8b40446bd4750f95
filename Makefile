# The list of commands, the same here and in CI. `make` alone says what each does.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CONFIG ?= config/dev.toml
SDK := client-js/dist/throughline.iife.js
CERTIFICATE := target/tls
# The debug server, with the features that crates have beside a test: as `cargo test` leaves it, nothing is compiled again.
SERVER := cargo build --bin throughline --test cli
CENTRIFUGO := github.com/centrifugal/centrifugo/v6@v6.9.1

.PHONY: help
help: ## Says what each command does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s $$'\t'

.PHONY: run
run: sdk $(if $(TLS),certificate) ## Serves on 127.0.0.1:8000 with the embedded engine, the client and the demo page (TLS=1: over https and HTTP/2)
	cargo run --release -- serve --config $(CONFIG) $(if $(TLS),--tls-cert $(CERTIFICATE)/cert.pem --tls-key $(CERTIFICATE)/key.pem)

.PHONY: certificate
certificate: ## Makes the certificate of `make run TLS=1`, unless there is one that is good for another day
	scripts/setup.sh openssl
	scripts/certificate.sh $(CERTIFICATE)

.PHONY: demo
demo: run ## The same: the demo is at /

.PHONY: test
test: test-rust test-client test-browser test-gauntlet ## Runs every test; installs what they need

.PHONY: test-rust
test-rust:
	scripts/setup.sh redis haproxy nginx
	cargo test

.PHONY: test-client
test-client: sdk
	cd client-js && npm test && npm run test:bundle && npm run size

.PHONY: test-browser
test-browser: sdk ## Drives real pages in Chromium against a real server
	scripts/setup.sh chromium openssl
	$(SERVER)
	cd client-js && npm run test:browser

.PHONY: test-firefox
test-firefox: sdk ## Drives pages in Firefox (not part of `make test`)
	scripts/setup.sh firefox
	$(SERVER)
	cd client-js && npm run test:firefox

.PHONY: test-gauntlet
test-gauntlet: sdk ## Goes through real proxies: the core of the gauntlet, in networks of their own
	scripts/setup.sh chromium redis haproxy nginx squid privoxy varnish modsecurity namespaces
	$(SERVER)
	node tests/gauntlet/run.js --core

.PHONY: gauntlet
gauntlet: sdk ## Goes through every proxy, and writes the table of docs/PROXIES.md (CELLS="a b" runs some, VERBOSE=1 shows all, SHOTS=1 also takes a picture of /diagnose in each)
	scripts/setup.sh chromium redis gauntlet
	$(SERVER)
	node tests/gauntlet/run.js $(if $(CELLS),$(CELLS),--write)

.PHONY: peers
peers: sdk ## Goes through the same proxies with other libraries, and writes their table of docs/PROXIES.md (CELLS="a b" runs some and writes nothing)
	scripts/setup.sh chromium redis gauntlet go
	$(SERVER)
	npm ci --prefix tests/gauntlet/peers
	test -x target/gauntlet/bin/centrifugo || GOBIN=$(CURDIR)/target/gauntlet/bin go install $(CENTRIFUGO)
	node tests/gauntlet/peers.js $(CELLS)

.PHONY: test-browser-fleet
test-browser-fleet: sdk ## The same against three nodes on one Redis, behind HAProxy that sends each request to the next
	scripts/setup.sh redis haproxy chromium openssl
	$(SERVER)
	scripts/fleet.sh config/dev.toml npm --prefix client-js run test:browser

.PHONY: test-fleet
test-fleet: ## The integration suite against such a fleet
	scripts/setup.sh node redis haproxy
	$(SERVER)
	# Not those of what HAProxy itself reads or joins: heads that are wrong, writes of their own.
	scripts/fleet.sh tests/support/suite.toml cargo test --test it -- --skip limits::a_head_above \
	  --skip limits::requests_that_could_be_read --skip streams::a_filler_follows_each_write

.PHONY: check
check: lint test ## What CI runs: lints, then every test

.PHONY: lint
lint: sdk ## Formatting, lints and types of both languages
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cd client-js && npm run check
	cd tests/gauntlet && ../../client-js/node_modules/.bin/biome check .

.PHONY: fmt
fmt: client-js/node_modules ## Formats both languages
	cargo fmt
	cd client-js && npx biome check --write .

.PHONY: faults
faults: ## Breaks nodes, Redis and what is between them in every way, and writes the table of docs/BENCHMARKS.md (ONLY="nodes:: herd::" runs some)
	scripts/setup.sh redis haproxy nginx faketime
	scripts/faults.sh $(ONLY)

.PHONY: bench
bench: ## Measures the server beside a floor server, and fleets on one Redis, and prints tables
	scripts/setup.sh redis
	cargo build --release
	cargo bench --bench compare

.PHONY: mutants
mutants: ## Applies each hand-made mutant of the session, the backplane and the fleet; some test must kill it (ONLY="redis/delivers-twice" runs some)
	scripts/setup.sh redis
	scripts/mutants.sh $(ONLY)

.PHONY: fuzz
fuzz: ## Fuzzes the codec and the session for a minute each (needs cargo-fuzz)
	for target in codec session; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=60; done

.PHONY: bless
bless: ## Rewrites the golden fixtures; review the difference
	UPDATE_FIXTURES=1 cargo test --test session

.PHONY: sdk
sdk: $(SDK)

$(SDK): client-js/node_modules $(shell find client-js/src client-js/scripts -type f 2>/dev/null) client-js/package.json client-js/tsdown.config.ts
	cd client-js && npm run build
	@touch $@

client-js/node_modules: client-js/package-lock.json
	scripts/setup.sh node
	cd client-js && npm ci --no-audit --no-fund
	@touch $@
