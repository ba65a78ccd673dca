# make demo and make test need Go, make and a shell; see README.md.

GO       ?= go
TOOL      = $(GO) tool -modfile=.ci/tools.mod
UNIT      = $$($(GO) list ./... | grep -v /test/e2e)
FUZZTIME ?= 2m

.PHONY: help build demo test check unit e2e tools fuzz settings

help: ## this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' Makefile

build: ## both programs, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

demo: build ## an app reaches a private server through the sidecar, on this machine
	@$(GO) run ./test/demo bin

test: tools check unit e2e ## everything that must hold
	@echo "make test: all passed"

tools: ## what the end-to-end tests need, where this may install it
	@.ci/install-tools

check: ## formatting and static analysis
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) fix -diff ./...
	$(GO) mod tidy -diff
	$(TOOL) staticcheck ./...
	@.ci/vulnerabilities "$(TOOL)"

unit: ## tests of the packages
	$(GO) test -race -shuffle=on -timeout 5m $(UNIT)

e2e: ## real binaries, servers and clients in network namespaces
	$(GO) test -race -shuffle=on -timeout 15m -v ./test/e2e | .ci/summary

fuzz: ## every fuzz target for FUZZTIME (2m)
	@set -e; for package in relayclient dnsproxy; do \
		for target in $$($(GO) test -list '^Fuzz' ./$$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package; \
		done; \
	done

settings: ## write the settings table into README.md
	$(GO) test ./test -run TestReadmeListsTheSettings -update
