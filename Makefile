# Every verb has one line of help. Nothing here needs root or, once the
# modules are there, a network.
GO ?= go
# What the binary says of itself: the tag, if the commit has one, the commit and its date.
VERSION := $(shell git describe --tags --exact-match 2>/dev/null)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || echo +)
DATE := $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION) -X main.date=$(DATE)
# Vet, tests and the build share one cache: what ships has no cgo and no paths.
export CGO_ENABLED ?= 0
export GOFLAGS += -trimpath
FUZZTIME ?= 20s
SOAK ?= 5m
# Packages at a time: compilers for GPUs take most of it, each one CPU.
GENERATE = grep -rl --include='*.go' '^//go:generate' kernels results | xargs -n1 dirname | sort -u | xargs -P $$(nproc) -I{} $(GO) generate ./{}

.DEFAULT_GOAL := help
.PHONY: help build run nightly test race soak lint gosec generate generate-check emulate estimate fuzz bench peers manual package-check release-check release release-tools vuln clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/perwatt, one binary without cgo (it needs glibc: NVML is opened at run time)
	$(GO) build $(SHOW) -ldflags '$(LDFLAGS)' -o bin/perwatt ./cmd/perwatt

# A first build says so, and names each package that is done.
run: ## measure this machine at every use (about 2 minutes), print a summary and write the page report.html
	@stale=$$($(GO) list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' ./cmd/perwatt | grep -c .); \
	if [ "$$stale" -gt 100 ]; then echo "first build: several minutes ($$stale packages, named as they are done; the next build takes seconds)"; show=-v; fi; \
	$(MAKE) --no-print-directory build SHOW=$$show
	./bin/perwatt run --preset quick --report report.html

nightly: build ## measure this machine and say what changed since the nights before (exit 1: worse, 3: no data)
	./bin/perwatt run --preset quick --label job=nightly
	./bin/perwatt track --gate --confirm --label job=nightly -o site

# lint vets with every analyzer of vet and not with the few that go test begins with.
test: ## run every test, the kernels of CPUs also without assembly
	$(GO) test -vet=off -timeout 20m -p 3 ./... # many tests wait more than they compute
	$(GO) build -tags purego ./...
	$(GO) test -vet=off -tags purego ./kernels ./kernels/sha256d/... ./kernels/sgemm/... ./kernels/stream/... ./kernels/vector/...

# The package whose tests take longest begins first.
race: ## run the tests of what starts goroutines or shares memory under the race detector, in their short forms
	@grep -rlE --include='*.go' --exclude='*_test.go' --exclude-dir=testdata '^\s*go (func|[a-z])|\.Go\(|\bsync\.(Mutex|RWMutex|WaitGroup|Map|Pool|Once)\b|\batomic\.[A-Z]' . | xargs -n1 dirname | { echo ./cmd/perwatt; sort -u; } | awk '!known[$$0]++' | \
		CGO_ENABLED=1 xargs $(GO) test -race -vet=off -short -timeout 20m -p 3

soak: ## strangers at every door for SOAK: kills, full disks, flipped bits, floods beside honest sessions and miners
	PERWATT_SOAK=$(SOAK) $(GO) test -run '^TestSoak$$' -count 1 -v -timeout 30m ./cmd/perwatt

lint: ## formatting, vet here and for arm64, static analysis
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt -w $$out"; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) build ./...
	$(GO) tool staticcheck ./...
	$(GO) build -C _lint -o $(CURDIR)/bin/perwatt-lint .
	./bin/perwatt-lint -test=false ./...
	$(GO) mod tidy -diff

gosec: ## what gosec finds that is not answered where it is (fetches gosec, which is no module of ours)
	$(GO) run github.com/securego/gosec/v2/cmd/gosec@v2.30.0 -quiet ./...

generate: ## write what is generated again: assembly, kernels for GPUs (needs clang-22, lld-22 and zstd), NOTICE, formulas of the page
	$(GENERATE)
	$(GO) test . -run Notice -update
	$(GO) test ./results/economics -run JavaScript -update

generate-check: ## generated assembly and kernels for GPUs are what their generators write, byte for byte (tests hold NOTICE and the page's formulas)
	rm -f kernels/*/*_amd64.s kernels/*/stubs_amd64.go kernels/*/*.zst
	$(GENERATE)
	git diff --exit-code -- kernels results/report/chart/widths.go

emulate: ## test kernels on CPUs that are not here, with AVX-512 and ARMv8 (Debian: installs Bochs; needs qemu-user-static)
	$(GO) test -short -timeout 30m -exec $(CURDIR)/kernels/emulate/avx512-run.sh ./kernels/sha256d ./kernels/stream ./kernels/sgemm ./kernels/vector
	PERWATT_REQUIRE=armv8 GOARCH=arm64 $(GO) test -short -timeout 30m -exec $(CURDIR)/kernels/emulate/arm64-run.sh ./kernels/sha256d
	PERWATT_REQUIRE=neon GOARCH=arm64 $(GO) test -short -timeout 30m -exec $(CURDIR)/kernels/emulate/arm64-run.sh ./kernels/stream ./kernels/sgemm

estimate: ## print the cycles of the rows for ARM by LLVM's models of cores, not yet run on hardware (needs llvm 17 or newer)
	kernels/emulate/arm64-mca.sh

fuzz: ## fuzz every parser for FUZZTIME each
	@$(GO) list ./... | while read p; do \
		$(GO) test -list '^Fuzz' $$p | grep '^Fuzz' | while read f; do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$p || exit 1; \
		done || exit 1; \
	done

bench: ## benchmark every use and implementation, in the format that benchstat reads
	$(GO) test -run '^$$' -bench . ./bench

peers: ## compare kernels and training with OpenBLAS, oneDNN, PyTorch, cpuminer and C, as many as are here (about 10 minutes)
	$(GO) run ./bench/peers $(PEERS)

# What packages install beside the program. Debian wants what is text compressed, without a time.
manual: PACKAGE_VERSION ?= 0.0.0
manual: ## write man pages, completions and notices for packages to bin/manual
	rm -rf bin/manual
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(GO) test ./cmd/perwatt -count 1 -run '^TestManual$$' -args -manual $(CURDIR)/bin/manual
	cp NOTICE bin/manual/NOTICE
	cp CHANGELOG.md bin/manual/changelog
	packaging/changelog.sh $(PACKAGE_VERSION) > bin/manual/changelog.Debian
	gzip -9n bin/manual/man1/*.1 bin/manual/NOTICE bin/manual/changelog bin/manual/changelog.Debian

package-check: build manual ## make a Debian package of bin/perwatt as a release does, install it in an empty root and try it there
	$(GO) test ./packaging -count 1 -run '^TestPackage$$' -v -args -binary $(CURDIR)/bin/perwatt

release-check: release-tools ## make a snapshot of a release in dist and try what it made, as far as this machine can (needs a network)
	PATH=$(CURDIR)/bin/tools:$$PATH packaging/release-check.sh

release: release-tools ## publish the release of the tag that is checked out, as a draft (needs GITHUB_TOKEN)
	awk '/^## \[/ {on = index($$0, "[$(VERSION:v%=%)]")} on' CHANGELOG.md > bin/tools/notes.md
	test -s bin/tools/notes.md || { echo "CHANGELOG.md has no section [$(VERSION:v%=%)]"; exit 1; }
	PATH=$(CURDIR)/bin/tools:$$PATH goreleaser release --clean --release-notes bin/tools/notes.md

# No modules of ours, so go.mod does not have them.
release-tools:
	GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/goreleaser/goreleaser/v2@v2.15.1
	GOBIN=$(CURDIR)/bin/tools $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

vuln: ## compare what is linked into the program with the Go vulnerability database (needs the module proxy)
	mkdir -p bin/tools
	CGO_ENABLED=0 $(GO) build -o bin/tools/perwatt ./cmd/perwatt # with its symbols, by which functions are found
	db=$$($(GO) mod download -json golang.org/x/vulndb@latest | sed -n 's/^.*"Dir": "\(.*\)".*$$/\1/p') && \
		$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -mode binary -db "file://$$db/data/osv" bin/tools/perwatt

clean: ## remove what was built
	rm -rf bin dist site
