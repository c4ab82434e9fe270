# make test needs nothing but Go; as root on Debian it installs the interop peers first.
GO ?= go
export CGO_ENABLED = 0

.PHONY: all build test unit race lint interop crash suites bench idle tidy fuzz

all: build

build:
	$(GO) build -trimpath -o bin/mailpact ./cmd/mailpact

# Everything that CI runs but the linter: unit and table tests with the race
# detector where a C compiler is there, scripts, interop with real peers, crashes.
test: peers unit race interop crash suites

.PHONY: peers
peers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then ./scripts/peers; \
	else echo "peers: not root on Debian; the tests of peers that are missing will say so (sudo scripts/peers)"; fi

unit:
	$(GO) test ./...

race:
	@if command -v gcc >/dev/null; then CGO_ENABLED=1 $(GO) test -race -shuffle=on ./internal/...; \
	elif [ "$(CI)" = true ]; then echo "race: no C compiler" >&2; exit 1; \
	else echo "race: skipped, no C compiler"; fi

interop:
	$(GO) test -tags interop -count=1 ./tests/interop/...

crash:
	$(GO) test -tags crash -count=1 -timeout 10m ./tests/crash/...

# BetterTLS, and zlint over what our authority issues, in modules of their own; the other suites run with the unit tests.
# -mod=mod, because what the product requires is not repeated there.
suites:
	cd tests/suites/bettertls && $(GO) test -mod=mod -count=1 .
	cd tests/suites/zlint && $(GO) test -mod=mod -count=1 .

lint:
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) tool -modfile=tools/lint/go.mod golangci-lint run ./...

bench: build
	bench/run

# What idle TLS sessions cost: make idle SESSIONS=2000
SESSIONS ?= 10000
idle: build
	bench/idle --sessions $(SESSIONS)

# A short run of every fuzz target: make fuzz FUZZTIME=10s
FUZZTIME ?= 5s
fuzz:
	@set -e; for p in $$($(GO) list ./internal/...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$p >/tmp/mailpact-fuzz.log 2>&1 || { cat /tmp/mailpact-fuzz.log; exit 1; }; done; done
