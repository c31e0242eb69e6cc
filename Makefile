# Modules to lint and test, by directory. .ci/tools only pins what lint runs; interop
# is tested by a target of its own, which needs Node.
MODULES = . examples/tracing examples/fencing test/benchmarks cmd/redlock adapters/certmagic adapters/gocron adapters/asynq test/observability test/linearize test/suites
LINTED  = $(MODULES) test/interop

# Sections that each pairing of libraries enters in make interop.
SECTIONS ?= 10000

# How long the chaos lasts; SEED repeats the faults of another run.
FOR ?= 60s

# The other modules that make check tests, and how: for each, -race compiles all that it
# depends on once more.
CHECKED ?= $(filter-out .,$(MODULES))
RACED   ?= -race

# The histories that make check plays.
HISTORIES ?= 300

# What make bench measures. FOR is each case's own there unless it is given.
CASES  ?= all
ROUNDS ?=

# Tests of allocations, memory and time, which mean nothing with the race detector on.
COST  = TestAFencedLockCostsLittle|TestLockAndUnlockAllocateLittle|TestTelemetryCostsLittleTime|TestAHeldLockTakesLittleMemory
GUARD = TestAllocationsAreWhatTheyWere|TestLockAndUnlockTakeNotMuchLongerThanTheirCommands

# make lint runs go vet for itself, and no test looks at what a debugger needs.
GOTEST = -count=1 -vet=off -ldflags=-s

# What has threads of its own, and so is tested with -race, too. The chaos comes after
# the rest: it does not share a machine well.
THREADED = ./internal/... ./test/real/... ./test/servers ./test/faultproxy ./test/simulation ./examples/quickstart

# What make test leaves to make check, beside the other modules: SQLite and gRPC, which
# two examples use, take long to compile.
LONG = chaos|model|simulation

# Tests that take long, by their first line, and the packages that run without -race and have some.
SLOW    = $$(grep -rhB1 'rig\.Long(t)' --include '*_test.go' test/virtual test/versions | sed -n 's/^func \(Test[A-Za-z0-9]*\)(.*/\1/p' | paste -sd '|' -)
SLOW_IN = $$(grep -rl 'rig\.Long(t)' --include '*_test.go' test/virtual test/versions | xargs -n 1 dirname | sort -u | sed 's,^,./,')

# Histories that make soak runs, and the first one's seed.
SEEDS ?= 10000
FROM  ?= 1

# How many of them one process plays: each leaves about a megabyte that is not
# collected, and what a process may have is bounded.
BATCH = 1000

# How long each fuzz test runs.
FUZZTIME ?= 20s

# REDLOCK_SERVER=valkey-server, or any path of a server, runs the tests on that
# program instead of redis-server.

# Every module stands on its own go.mod, whatever workspace surrounds it.
export GOWORK = off

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Install redis-server from the distribution; starts no service
	@sh .ci/setup

# Finds or installs the server: as root and in CI by itself.
SERVER = if [ -n "$$REDLOCK_SERVER" ]; then \
		echo "on $$REDLOCK_SERVER instead of redis-server"; \
	elif [ "$$CI" = true ] || [ "$$(id -u)" = 0 ]; then \
		sh .ci/setup; \
	elif ! command -v redis-server >/dev/null; then \
		echo "make $@ needs redis-server; type: make setup" >&2; exit 1; \
	fi

.PHONY: test
test: export REDLOCK_REQUIRE_REDIS = 1
test: ## Run the tests, in virtual time and on real Redis servers (as root or with CI=true: after setup)
	@$(SERVER)
	@echo "go test, three packages at a time, as some mostly wait"
	@go test $(GOTEST) -p 3 -timeout 20m -skip '^($(COST))$$' $$(go list ./... | grep -Ev '/test/($(LONG))$$')
	@echo "cmd/redlock: go test, six tests at a time, as most mostly wait"
	@go -C cmd/redlock test $(GOTEST) -parallel 6 -timeout 20m ./...

.PHONY: check
check: export REDLOCK_REQUIRE_REDIS = 1
check: export REDLOCK_LONG = 1
check: ## Run what make test leaves out: -race, what takes long, other modules, histories, the model, costs, FOR (10s) of chaos
	@$(SERVER)
	@failed=0; \
	echo "what takes long: go test -run, by the first line of its tests"; \
	go test $(GOTEST) -p 3 -timeout 20m -run "^($(SLOW))$$" $(SLOW_IN) || failed=1; \
	echo "what has threads: go test -race, four packages at a time, as most mostly wait"; \
	go test $(GOTEST) -race -p 4 -timeout 20m $(THREADED) || failed=1; \
	REDLOCK_CHAOS=$(if $(filter file,$(origin FOR)),,$(FOR)) go test $(GOTEST) -race -v -timeout 20m ./test/chaos || failed=1; \
	for module in $(CHECKED); do \
		echo "$$module: go test $(RACED)"; \
		go -C "$$module" test $(GOTEST) $(RACED) -timeout 20m ./... || failed=1; \
	done; \
	echo "what -race would distort: go test -v -run '$(COST)' ./test/real/..."; \
	go test $(GOTEST) -p 1 -v -run '$(COST)' ./test/real/... || failed=1; \
	go -C test/benchmarks test $(GOTEST) -v -run '$(GUARD)' . || failed=1; \
	echo "what -race would take long for: go test -v ./test/simulation, ./test/model"; \
	go test $(GOTEST) -timeout 10m -v -run '^TestHistories$$' ./test/simulation -seeds $(HISTORIES) || failed=1; \
	go test $(GOTEST) -timeout 10m ./test/model || failed=1; \
	exit $$failed

# The servers that make servers tests, of those that .ci/server knows.
SERVERS ?= redis-7.0 redis-8.0 redis-8.6 valkey-8 valkey-9

# What it runs on each, beside ten seconds of chaos and redlock doctor.
SERVED ?= ./internal/script ./test/servers ./test/real/...

.PHONY: servers
servers: export REDLOCK_REQUIRE_REDIS = 1
servers: ## Test on SERVERS (redis-7.0 redis-8.0 redis-8.6 valkey-8 valkey-9), unpacked from Debian's packages
	@failed=; for server in $(SERVERS); do \
		program=$$(.ci/server $$server) || { failed="$$failed $$server"; continue; }; \
		echo "$$server: $$("$$program" --version)"; \
		export REDLOCK_SERVER="$$program"; \
		go test $(GOTEST) -p 3 -timeout 20m -skip '^($(COST))$$' $(SERVED) && \
		REDLOCK_CHAOS=10s go test $(GOTEST) -timeout 20m ./test/chaos && \
		go -C cmd/redlock test $(GOTEST) -timeout 20m -run Doctor ./... || failed="$$failed $$server"; \
	done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

.PHONY: soak
soak: ## Check the model of tokens with 3 clients; run SEEDS (10000) histories of the simulation, from the seed FROM (1)
	REDLOCK_LONG=1 go test -count=1 -timeout 0 -v -run '^TestTokens|^TestNoToken' ./test/model -clients 3
	@from=$(FROM); end=$$(($(FROM) + $(SEEDS))); while [ $$from -lt $$end ]; do \
		n=$$((end - from)); [ $$n -le $(BATCH) ] || n=$(BATCH); \
		go test -count=1 -timeout 0 -v -run '^TestHistories$$' ./test/simulation -from $$from -seeds $$n || exit 1; \
		from=$$((from + n)); \
	done

.PHONY: mutants
mutants: ## Show that the simulation finds mistakes that are put into the library, and by which seed
	go test -count=1 -timeout 0 -v -run '^TestEveryMutantIsFound$$' ./test/simulation -mutants .

.PHONY: interop
interop: export REDLOCK_REQUIRE_REDIS = 1
interop: export REDLOCK_REQUIRE_NODE = 1
interop: ## Contend with bull-redlock, redlock 4 and 5 (Node) and redsync; SECTIONS (10000) for each
	@command -v npm >/dev/null || { echo "make interop needs Node and npm" >&2; exit 1; }
	cd test/interop && npm ci --prefer-offline
	go -C test/interop test $(GOTEST) -race -v -timeout 1h ./... -sections $(SECTIONS)

.PHONY: observability
observability: export REDLOCK_REQUIRE_REDIS = 1
observability: ## Check the dashboard and the alert rules with a Prometheus, unpacked from Debian's package
	@$(SERVER)
	@dir=$$(.ci/prometheus) && REDLOCK_PROMETHEUS="$$dir" go -C test/observability test $(GOTEST) -v -timeout 20m ./...

.PHONY: bench
bench: export REDLOCK_REQUIRE_REDIS = 1
bench: ## Measure beside other libraries; CASES (all) by the beginnings of names, FOR and ROUNDS as they say
	go -C test/benchmarks test -count=1 -v -timeout 0 -run '^TestBench$$' . -cases '$(CASES)' \
		$(if $(filter file,$(origin FOR)),,-for $(FOR)) $(if $(ROUNDS),-rounds $(ROUNDS))

.PHONY: chaos
chaos: export REDLOCK_REQUIRE_REDIS = 1
chaos: export REDLOCK_CHAOS = $(FOR)
chaos: export REDLOCK_CHAOS_SEED = $(SEED)
chaos: ## Contend for FOR (60s) on real servers that freeze, die and are cut off; ends with figures
	go test $(GOTEST) -race -v -timeout 0 -run '^TestNoTwoHolders' ./test/chaos

.PHONY: linearize
linearize: export REDLOCK_REQUIRE_REDIS = 1
linearize: export REDLOCK_LINEARIZE = $(FOR)
linearize: export REDLOCK_LINEARIZE_SEED = $(SEED)
linearize: export REDLOCK_LINEARIZE_RESULTS = $(if $(RESULTS),$(abspath $(RESULTS)))
linearize: ## Have Porcupine check what processes are told on servers that fail, for FOR (60s); then count what stopped ones lose; RESULTS is where the figures go, if anywhere
	@$(SERVER)
	go -C test/linearize test $(GOTEST) -v -timeout 0 ./...

# The suites that make suites runs, by the names of their tests.
SUITES ?= .

.PHONY: suites
suites: export REDLOCK_REQUIRE_REDIS = 1
suites: export REDLOCK_LONG = 1
suites: ## Run the tests that others wrote for redsync, redislock, sync.Mutex, Vault and Dapr upon this library
	@$(SERVER)
	go -C test/suites test $(GOTEST) -v -timeout 20m -run '$(SUITES)' ./...

# What the command is built for; its release recipe says the same.
SYSTEMS = linux darwin windows
ARCHS   = amd64 arm64

.PHONY: binaries
binaries: ## Build the command for each system into dist
	@for os in $(SYSTEMS); do for arch in $(ARCHS); do \
		suffix=; [ $$os != windows ] || suffix=.exe; \
		echo "dist/redlock_$${os}_$$arch$$suffix"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go -C cmd/redlock build -trimpath -ldflags '-s -w' \
			-o "$(CURDIR)/dist/redlock_$${os}_$$arch$$suffix" . || exit 1; \
	done; done

.PHONY: lint
lint: ## Run golangci-lint, go vet, go fix -diff and go mod tidy -diff
	@failed=0; \
	gate() { echo "$$module: $$*"; "$$@" || { echo "$$module: $$* failed" >&2; failed=1; }; }; \
	for module in $(LINTED); do \
		cd "$(CURDIR)/$$module" || exit 1; \
		gate go tool -modfile="$(CURDIR)/.ci/tools/go.mod" golangci-lint run ./...; \
		gate go vet ./...; \
		gate go fix -diff ./...; \
		gate go mod tidy -diff; \
	done; \
	cd "$(CURDIR)/.ci/tools" && module=.ci/tools && gate go mod tidy -diff; \
	exit $$failed

.PHONY: fuzz
fuzz: ## Run each fuzz test of the module for FUZZTIME (20s)
	@packages=$$(go list ./...) || exit 1; \
	for package in $$packages; do \
		list=$$(go test -list '^Fuzz' "$$package") || { echo "$$list"; exit 1; }; \
		for name in $$(echo "$$list" | grep '^Fuzz'); do \
			echo "$$package $$name for $(FUZZTIME)"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
		done; \
	done
