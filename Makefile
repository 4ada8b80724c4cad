# memdiag: one C binary, its BPF objects, its tests. `make` alone prints what there is.
#
#   V=1     show the commands        SAN=1   AddressSanitizer and UBSan (what `make test` uses)
#   WERROR=1  warnings are errors (what `make lint test` use)
#   ARCH=arm64  build for it, into build/arm64/; CROSS_COMPILE and SYSROOT are Debian's if you do not say

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PREFIX  ?= /usr/local
DESTDIR ?=

CC       ?= gcc
ifeq ($(origin CC),default)
CC       := gcc
endif
CLANG    ?= clang
BPFTOOL  ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKGS     := libbpf libelf zlib libcurl libcjson yaml-0.1 libprotobuf-c libmicrohttpd libmnl

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

# ARCH is what the kernel calls it, MULTIARCH what Debian's folders are called.
HOST_ARCH := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64/arm64/')
ARCH := $(HOST_ARCH)
B := build
PKG_CONFIG := pkg-config
ifneq ($(ARCH),$(HOST_ARCH))
MULTIARCH_arm64 := aarch64-linux-gnu
MULTIARCH := $(or $(MULTIARCH_$(ARCH)),$(error ARCH: $(HOST_ARCH), which this machine is, or arm64))
CROSS_COMPILE ?= $(MULTIARCH)-
override CC := $(patsubst gcc,$(CROSS_COMPILE)gcc,$(CC))
# Where hack/sysroot.sh puts the libraries.
SYSROOT ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/memdiag/sysroot/$(ARCH)
PKG_CONFIG := PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(MULTIARCH)/pkgconfig pkg-config
TARGET_FLAGS := --sysroot=$(SYSROOT)
B := build/$(ARCH)
endif

FLAVOUR := $(if $(SAN),san,release)
O := $(B)/$(FLAVOUR)

HARDEN := -fstack-protector-strong -fPIE -fno-strict-aliasing
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
          -Wno-missing-field-initializers $(if $(WERROR),-Werror)
CPPFLAGS += -D_GNU_SOURCE -Iagent -Ibpf -I$(B)/bpf -Ibuild/gen
CFLAGS   ?= -O2 -g
CFLAGS_ALL = $(TARGET_FLAGS) -std=gnu11 $(WARN) $(HARDEN) $(CFLAGS)
LDFLAGS_ALL = $(TARGET_FLAGS) -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(LDFLAGS)
LDLIBS_ALL = $(shell $(PKG_CONFIG) --libs $(PKGS)) -lm -pthread
ifdef SAN
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=address,undefined
else
# Fortify checks would hide overflows from ASan.
CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v2 -D__TARGET_ARCH_$(ARCH) -Ibpf -Wall -Wextra -Werror

BPF_SRCS  := $(wildcard bpf/*.bpf.c)
SKELS     := $(BPF_SRCS:bpf/%.bpf.c=$(B)/bpf/%.skel.h)
TEST_BPF  := $(sort $(wildcard tests/bpf/*.bpf.c))
TEST_SKELS := $(TEST_BPF:%.bpf.c=$(B)/%.skel.h)
SRCS      := $(sort $(wildcard agent/*/*.c))
MAIN      := agent/main.c
PROTOS    := $(wildcard agent/*/*.proto)
GEN_SRCS  := $(PROTOS:agent/%.proto=build/gen/%.pb-c.c)
GEN_OBJS  := $(GEN_SRCS:%.c=$(O)/%.o)
OBJS      := $(SRCS:%.c=$(O)/%.o) $(GEN_OBJS)
TESTS_UNIT := $(sort $(wildcard tests/unit/test_*.c))
TESTS_INTEGRATION := $(sort $(wildcard tests/integration/test_*.c))
BENCHES   := $(sort $(wildcard tests/bench/bench_*.c))
TEST_LIB  := $(sort $(wildcard tests/support/*.c))
TEST_BINS := $(TESTS_UNIT:%.c=$(O)/%) $(TESTS_INTEGRATION:%.c=$(O)/%)
BENCH_BINS := $(BENCHES:%.c=$(O)/%)
FUZZERS   := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZERS:%.c=$(O)/%)
FUZZ_SECONDS ?= 20
NODES ?= 5000
ROUNDS ?= 200
C_FILES   := $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h' 2>/dev/null)

.PHONY: chaos scale help deps build run test test-run e2e vmtest vmtest-run image-test cluster-test bench fuzz fuzz-run lint fmt compile_commands install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	$(Q)hack/install-deps.sh build $(if $(TARGET_FLAGS),$(ARCH))
	$(if $(TARGET_FLAGS),$(Q)hack/sysroot.sh $(ARCH) >/dev/null)

build: deps ## build/release/memdiag
	$(Q)$(MAKE) --no-print-directory $(O)/memdiag

run: build ## diagnose this host now and print the tables
	$(Q)$(O)/memdiag run $(ARGS)

test: deps ## build with sanitizers; unit tests and integration tests on the running kernel (root)
	$(Q)hack/install-deps.sh test
	$(Q)$(MAKE) --no-print-directory SAN=1 WERROR=1 test-run

test-run: $(O)/memdiag $(TEST_BINS)
	$(Q)tests/test_run.sh
	$(Q)tests/run.sh $(O) $(TEST_BINS)

e2e: build ## a real etcd and kube-apiserver on loopback, with controller and agent
	$(Q)hack/install-deps.sh test e2e containers
	$(Q)python3 -B tests/e2e/run.py $(O)/memdiag

vmtest: deps ## every check and integration test on Debian's kernels, 5.10 to the newest, emulated, with cgroup v2
	$(Q)hack/install-deps.sh test vm $(if $(filter arm64,$(ARCH)),vm-arm64)
	$(Q)$(MAKE) --no-print-directory vmtest-run

vmtest-run: $(O)/memdiag $(TESTS_INTEGRATION:%.c=$(O)/%)
	$(Q)python3 -B tests/vm/run.py $(VMARGS) $^

scale: build ## a run on NODES=5000 hollow agents against a real API server (about 12 minutes)
	$(Q)hack/install-deps.sh test e2e
	$(Q)$(MAKE) --no-print-directory $(O)/tests/scale/hollow
	$(Q)python3 -B tests/scale/run.py --nodes $(NODES) $(O)/memdiag $(O)/tests/scale/hollow

chaos: build ## ROUNDS=200 rounds of killing API server, etcd, controllers and agents in the midst of runs
	$(Q)hack/install-deps.sh test e2e
	$(Q)python3 -B tests/chaos/run.py --rounds $(ROUNDS) $(CHAOSARGS) $(O)/memdiag

image-test: ## build the image on a Debian 12 of debootstrap's and look whether it works (root)
	$(Q)hack/install-deps.sh image
	$(Q)hack/image-test.sh $(VERSION)

cluster-test: deps ## image and manifests in a real cluster of one node: etcd to kubelet, containerd, pods (root)
	$(Q)hack/install-deps.sh test e2e containers image cluster
	$(Q)python3 -B tests/cluster/run.py

bench: deps ## ratios against other ways to the same answer, in one run (root)
	$(Q)hack/install-deps.sh test
	$(Q)$(MAKE) --no-print-directory $(BENCH_BINS)
	$(Q)set -e; for b in $(BENCH_BINS); do $$b; done

fuzz: deps ## feed each parser of foreign input with libFuzzer for FUZZ_SECONDS=20
	$(Q)hack/install-deps.sh fuzz
	$(Q)$(MAKE) --no-print-directory SAN=1 CC='$(CLANG)' O=build/fuzz \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link -Wno-format-nonliteral' fuzz-run

fuzz-run: $(FUZZ_BINS)
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_BINS)

lint: build ## formatting, cppcheck, banned functions, lengths of functions and files, hardening of the binary
	$(Q)hack/install-deps.sh lint
	$(Q)hack/lint.sh
	$(Q)hack/check-hardening.sh $(O)/memdiag

fmt: ## format every C file
	$(Q)clang-format -i $(C_FILES)

compile_commands: deps ## compile_commands.json for editors
	$(Q)hack/install-deps.sh lint
	$(Q)bear --output compile_commands.json -- $(MAKE) --no-print-directory -B $(O)/memdiag

install: build ## into $(DESTDIR)$(PREFIX)
	$(Q)install -D -m 0755 $(O)/memdiag $(DESTDIR)$(PREFIX)/bin/memdiag

clean: ## remove build/
	$(Q)rm -rf build compile_commands.json

# --- files -----------------------------------------------------------------------------------------------------------

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h bpf/*/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

# BPF that plants what is to be found, or is a truth to compare with: for tests alone.
$(B)/tests/bpf/%.bpf.o: tests/bpf/%.bpf.c $(wildcard bpf/*.h bpf/*/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/tests/bpf/%.skel.h: $(B)/tests/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name test_$(subst -,_,$*)_bpf > $@
.SECONDARY: $(TEST_SKELS) $(TEST_SKELS:.skel.h=.bpf.o)

# Made once, not again after each use.
.SECONDARY: $(SKELS) $(BPF_SRCS:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)

build/gen/%.pb-c.c build/gen/%.pb-c.h: agent/%.proto
	@mkdir -p $(@D)
	$(call say,PROTO,$@)protoc-c -Iagent --c_out=build/gen $<
.SECONDARY: $(GEN_SRCS) $(GEN_SRCS:.c=.h)
# What others generate is not ours to keep free of warnings.
$(GEN_OBJS): CFLAGS_ALL += -w

$(O)/%.o: %.c $(O)/flags | $(SKELS) $(GEN_SRCS:.c=.h)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$(O)/tests/%.o: CPPFLAGS += -Itests -I$(B)/tests/bpf
$(TEST_BINS:%=%.o) $(BENCH_BINS:%=%.o): | $(TEST_SKELS)

$(O)/memdiag: $(O)/agent/main.o $(OBJS)
	$(call say,LD,$@)$(CC) $(LDFLAGS_ALL) $^ $(LDLIBS_ALL) -o $@

$(TEST_BINS): $(O)/%: $(O)/%.o $(OBJS) $(TEST_LIB:%.c=$(O)/%.o)
	$(call say,LD,$@)$(CC) $(LDFLAGS_ALL) $^ $(LDLIBS_ALL) -lcmocka -o $@

$(BENCH_BINS): $(O)/%: $(O)/%.o $(OBJS) $(TEST_LIB:%.c=$(O)/%.o)
	$(call say,LD,$@)$(CC) $(LDFLAGS_ALL) $^ $(LDLIBS_ALL) -lcmocka -o $@

# Agents without a host: their worker is the program's own, and nobody looks for pods.
$(O)/tests/scale/hollow: $(O)/tests/scale/hollow.o $(filter-out %/node/worker.o %/node/births.o,$(OBJS))
	$(call say,LD,$@)$(CC) $(LDFLAGS_ALL) -Wl,--wrap=loop_watch_fd,--wrap=loop_unwatch_fd $^ $(LDLIBS_ALL) -o $@

$(FUZZ_BINS): $(O)/%: $(O)/%.o $(OBJS)
	$(call say,LD,$@)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ $(LDLIBS_ALL) -o $@

# The version is in one object, so that a commit does not rebuild the rest.
$(O)/agent/base/version.o: CPPFLAGS += -DMEMDIAG_VERSION='"$(VERSION)"'
$(O)/agent/base/version.o: $(O)/version
$(O)/version: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(VERSION)' | cmp -s - $@ || printf '%s\n' '$(VERSION)' > $@

# Objects are rebuilt when the flags change.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(CFLAGS_ALL)
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $@
FORCE:

-include $(OBJS:.o=.d) $(O)/agent/main.d $(TEST_BINS:%=%.d) $(BENCH_BINS:%=%.d) $(FUZZ_BINS:%=%.d) $(TEST_LIB:%.c=$(O)/%.d)
