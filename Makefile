# make demo and make test need Go, make and a shell; see CONTRIBUTING.md.

GO       ?= go
TOOL      = $(GO) tool -modfile=.ci/tools.mod
LINT      = $(GO) tool -modfile=.ci/lint.mod golangci-lint
UNIT      = $$($(GO) list ./... | grep -v /test/e2e)
FUZZTIME ?= 2m
BASE     ?= HEAD
ROUNDS   ?= 10
BENCH    ?= .

# The race detector needs a C compiler. In CI there has to be one.
RACE := $(shell { test "$$CI" = true || command -v "$$($(GO) env CC)"; } >/dev/null 2>&1 && echo -race)

.PHONY: help build demo test check lint unit e2e browser manifests soak tools fuzz settings metrics architecture \
	bench bench-capture bench-dns bench-against bench-stat

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' Makefile

build: ## both programs, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

demo: build ## an app reaches a private server through the sidecar, on this machine
	@$(GO) run ./test/demo bin

test: tools check unit e2e browser manifests ## everything that must hold
	@echo "make test: all passed"

tools: ## what the end-to-end tests need, where this may install it
	@.ci/install-tools

check: ## formatting and static analysis
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet $(UNIT)
	GOOS=windows $(GO) vet $(UNIT)
	$(GO) fix -diff ./...
	$(GO) mod tidy -diff
	$(TOOL) staticcheck ./...
	$(LINT) run ./...
	@.ci/vulnerabilities "$(TOOL)"

lint: ## golangci-lint with .golangci.yml; the first run builds it, which takes minutes
	$(LINT) run ./...

unit: ## tests of the packages
	@test -n "$(RACE)" || echo "no C compiler: the tests run without the race detector"
	$(GO) test $(RACE) -shuffle=on -timeout 5m $(UNIT)

e2e: ## real binaries, servers and clients in network namespaces
	$(GO) test $(RACE) -shuffle=on -timeout 15m -v ./test/e2e | .ci/summary

manifests: ## what is in deploy/: rendered, decoded strictly, and the compose example run
	cd test/manifests && $(GO) vet ./... && $(GO) fix -diff ./... && $(GO) mod tidy -diff && \
		$(GO) tool -modfile=../../.ci/tools.mod staticcheck ./... && $(GO) test -shuffle=on -timeout 5m ./...

browser: ## the status page in Chromium; pictures of it go to bin/_artifacts
	@mkdir -p bin && rm -rf bin/_artifacts
	cd test/browser && $(GO) vet . && $(GO) fix -diff . && $(GO) mod tidy -diff
	cd test/browser && $(GO) test -shuffle=on -count=1 -timeout 3m -artifacts -outputdir ../../bin .

soak: ## ten minutes of everything at random, every byte checked; unit has 20 s of it
	$(GO) test $(RACE) -timeout 20m ./test/soak -run TestSoak -duration 10m -v

fuzz: ## every fuzz target for FUZZTIME (2m)
	@set -e; for package in relayclient dnsproxy; do \
		for target in $$($(GO) test -list '^Fuzz' ./$$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package; \
		done; \
	done

metrics: ## write docs/metrics.md
	$(GO) test ./cmd/hyco-sidecar/admin -run TestMetricsAreDocumented -update

settings: ## write the settings table into README.md
	$(GO) test ./test -run TestReadmeListsTheSettings -update

architecture: ## write the picture of the packages into ARCHITECTURE.md
	$(GO) test ./test -run TestArchitectureHasThePackages -update

bench: ## compare with a baseline forwarder, seven to nine minutes; the figures go to docs/performance.md
	$(GO) run ./test/bench -o docs/performance.md

bench-capture: ## compare captured connections with those to bound ports, four minutes, as root; the figures go to docs/performance.md
	$(GO) run ./test/bench capture -rounds 9 -o docs/performance.md

bench-against: ## both benchmarks, this tree beside the commit BASE (HEAD), in one run each; about twelve minutes
	@.ci/build-at $(BASE) bin/before
	$(GO) run ./test/bench -against bin/before/hyco-sidecar
	$(GO) run ./test/dnsbench -against bin/before/hyco-sidecar

bench-dns: ## compare its DNS with dnsmasq and unbound, four minutes; the figures go to docs/performance.md
	$(GO) run ./test/dnsbench -o docs/performance.md

bench-stat: ## compare the packages' benchmarks with those of the commit BASE: ROUNDS (10) in turns, of BENCH (all)
	@.ci/bench-stat "$(BASE)" $(ROUNDS) '$(BENCH)'
