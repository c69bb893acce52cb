# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#   make            builds build/bulwark and build/bulwarkd
#   make check      installs what is missing, builds, runs every test that this machine can run
#   make run        installs what is missing, builds, shows the shield at work in a lab of network namespaces;
#                   with IFACE=eth0 POLICY=FILE on a real interface, in monitor mode until told otherwise
#   make check-vm   the functional tests on stock kernels in virtual machines (KERNELS=DIR: on kernels of yours)
#   make bench      the numbers of the README, as ratios to baseline programs and peers in the same run (minutes);
#                   make bench-readme writes them there, make bench-full draws curves, too (up to an hour)
#   make sanitize   unit and golden tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make fuzz       every parser, and the packet path against a slow evaluator, with libFuzzer; TIME=10m in all
#   make accuracy   how exact limits are in 512 KiB with 1,000 hostile and 10,000 lawful sources in a spoofed flood (minutes)
#   make memory     what bulwarkd holds and what a scrape costs with a million bans and ten million prefixes (minutes)
#   make soak       lawful and hostile traffic with a reload every second; TIME=600 seconds
#   make mutate     plants one-line faults in the sources and says which the tests do not catch (half an hour)
#   make coverage   which lines and functions of userspace/ the tests never run, by name
#   make install    PREFIX=/usr/local DESTDIR= ; make uninstall takes back the same files
#   also: dependencies, tidy, format-check, clean

# Where tc, ethtool and bpftool are, also for those who are not root.
export PATH := $(PATH):/usr/sbin:/sbin
BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= cc
CLANG   ?= clang
# On some distributions `bpftool` is a wrapper that only works with the running kernel's tools installed.
BPFTOOL ?= $(or $(shell for b in bpftool /usr/sbin/bpftool /usr/local/sbin/bpftool /usr/lib/linux-tools*/*/bpftool \
		/usr/lib/linux-tools-*/bpftool; do $$b version >/dev/null 2>&1 && echo $$b && break; done),bpftool)

# Asked when first used, not when this file is read: `make check` on a bare machine installs pkg-config first.
PKGS       := libbpf libfyaml jansson libnl-3.0 libnl-route-3.0 smartcols libpcap libxxhash libmd libcap-ng libmicrohttpd ncursesw
PKG_CFLAGS  = $(eval PKG_CFLAGS := $$(subst -I,-isystem ,$$(shell pkg-config --cflags $(PKGS) || echo MISSING)))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)) -lm)$(PKG_LIBS)
CFLAGS  ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror
USER_CFLAGS = $(CFLAGS) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -MMD -MP -I$(BUILD) -Iinclude -Iuserspace $(PKG_CFLAGS)
# Newer bpftools declare every kfunc in vmlinux.h; ours are declared where they are used, weak.
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 $(WARNINGS) -fno-strict-aliasing -DBPF_NO_KFUNC_PROTOTYPES -I$(BUILD) -Iinclude -MMD -MP

PROGRAMS := bulwark bulwarkd bulwark-fetch
MAINS    := $(PROGRAMS:%=userspace/%.c)
LIBRARY  := $(patsubst userspace/%.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(wildcard userspace/*.c)))
SKELS    := $(patsubst bpf/%.bpf.c,$(BUILD)/%.skel.h,$(wildcard bpf/*.bpf.c))
MANUALS  := $(patsubst userspace/%.scd,$(BUILD)/man/%,$(wildcard userspace/*.scd))
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
RUNNERS  := $(patsubst tests/packets/%.c,$(BUILD)/tests/%,$(wildcard tests/packets/run_*.c))
# Everything run-tests runs, in this order: the quick ones first.
TESTS     = $(UNITS) $(wildcard tests/policies/run tests/packets/run tests/packets/accuracy tests/packets/verifier \
	    tests/packets/paths tests/packets/lookup tests/packets/loops tests/packets/cpus tests/bench/test_report.py tests/cli/run \
	    tests/evaluator/run tests/vm/test_policies.sh) $(sort $(wildcard tests/netns/test_*.sh tests/netns/test_*.py))

all: $(PROGRAMS:%=$(BUILD)/%)

# A make that was not told how many builds on every CPU.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))

check: dependencies
	$(MAKE) $(JOBS) all tests
	scripts/run-tests --build $(BUILD) $(TESTS)

# The kernels come while the programs are built.
check-vm: dependencies-vm
	$(MAKE) $(JOBS) all tests $(if $(KERNELS),,kernels-vm)
	scripts/vm/matrix --build $(BUILD) $(if $(KERNELS),--kernels $(KERNELS))

kernels-vm:
	scripts/vm/matrix --fetch

run: dependencies-run
	$(MAKE) all lab-programs
	BUILD=$(BUILD) IFACE='$(IFACE)' POLICY='$(POLICY)' scripts/demo

# With what runs the controller and the daemon most, besides their pure parts. What a daemon leaks is known at its end, when
# no test looks: so it is written down.
SANITIZED = $(UNITS) $(wildcard tests/policies/run tests/cli/run tests/packets/run tests/netns/test_holds.sh \
	    tests/netns/test_daemon.sh tests/netns/test_watch.py tests/netns/test_report.py)
SANITIZER_FINDS = $(abspath $(BUILD))/sanitize/finds
sanitize:
	$(MAKE) $(JOBS) BUILD=$(BUILD)/sanitize CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
		-fno-sanitize-recover=all' LDFLAGS='-fsanitize=address,undefined' all tests
	rm -rf $(SANITIZER_FINDS) && mkdir -m 1777 $(SANITIZER_FINDS)
	ASAN_OPTIONS=log_path=$(SANITIZER_FINDS)/find scripts/run-tests --build $(BUILD)/sanitize \
		$(SANITIZED:$(BUILD)/%=$(BUILD)/sanitize/%)
	! grep -rh . $(SANITIZER_FINDS)

soak: dependencies all tests
	SOAK_SECONDS=$(or $(TIME),600) scripts/run-tests --build $(BUILD) --timeout $$(($(or $(TIME),600) * 2 + 120)) \
		tests/netns/test_soak.py

memory: dependencies all tests
	BANS=1000000 PREFIXES=10000000 scripts/run-tests --build $(BUILD) --timeout 900 tests/netns/test_memory.py

accuracy: dependencies all tests
	BUILD=$(BUILD) tests/packets/accuracy large

# In a scratch copy, one fault and one test at a time; --only REGEX with MUTATE.
mutate: dependencies-fuzz all tests
	BUILD=$(BUILD) tests/mutations/run $(MUTATE)

tests: $(UNITS) $(RUNNERS) $(BUILD)/tests/policy_print_tool man lab-programs

man: $(MANUALS)

dependencies dependencies-vm dependencies-run dependencies-lint dependencies-fuzz:
	scripts/dependencies build test $(patsubst dependencies-%,%,$(filter-out dependencies,$@))

# ---- the kernel's side

$(BUILD)/vmlinux.h:
	@mkdir -p $(@D)
	@[ -r /sys/kernel/btf/vmlinux ] || { echo "$@: this kernel has no /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF," \
		"or /sys is not mounted): build on a kernel that has it, the programs themselves are portable" >&2; exit 1; }
	$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

$(BUILD)/%.bpf.o: bpf/%.bpf.c $(BUILD)/vmlinux.h
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

# ---- the user's side

$(BUILD)/%.o: userspace/%.c | $(SKELS)
	@$(if $(findstring MISSING,$(PKG_CFLAGS)),echo "packages are missing: run 'make dependencies'" >&2; exit 1,:)
	$(CC) $(USER_CFLAGS) -c $< -o $@

$(BUILD)/libbulwark.a: $(LIBRARY)
	rm -f $@ && ar rcs $@ $^

$(PROGRAMS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libbulwark.a
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $^ -Wl,--as-needed $(PKG_LIBS) -o $@

# The only one that speaks to servers, and it needs little else.
$(BUILD)/bulwark-fetch: PKG_LIBS = $(shell pkg-config --libs libcurl jansson libcap-ng)

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/libbulwark.a
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $(filter %.c %.a,$^) -Wl,--as-needed $(PKG_LIBS) $(shell pkg-config --libs cmocka) -o $@

$(BUILD)/tests/%: tests/policies/%.c $(BUILD)/libbulwark.a
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $(filter %.c %.a,$^) -Wl,--as-needed $(PKG_LIBS) -o $@

$(BUILD)/tests/%: tests/packets/%.c $(BUILD)/libbulwark.a
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $(filter %.c %.a,$^) -Wl,--as-needed $(PKG_LIBS) -o $@

# ---- the rest

# The lists of verbs and of reasons come from the tables that make them.
$(BUILD)/man/%: userspace/%.scd scripts/manual include/reasons.def $(PROGRAMS:%=$(BUILD)/%)
	@mkdir -p $(@D)
	scripts/manual $< $(BUILD)/bulwark > $@.scd && scdoc < $@.scd > $@.tmp && mv $@.tmp $@ && rm $@.scd

INSTALL = install -D -m
# udev reads no rules below /usr/local.
UDEV_RULES ?= $(if $(filter /usr/local,$(PREFIX)),/etc/udev/rules.d,$(PREFIX)/lib/udev/rules.d)
D = $(DESTDIR)$(PREFIX)

install: all man
	for program in $(PROGRAMS); do $(INSTALL) 755 $(BUILD)/$$program $(D)/sbin/$$program || exit 1; done
	for page in $(MANUALS); do $(INSTALL) 644 $$page $(D)/share/man/man$${page##*.}/$${page##*/} || exit 1; done
	for policy in policies/*; do $(INSTALL) 644 $$policy $(D)/share/bulwark/$$policy || exit 1; done
	for file in scripts/monitoring/*; do $(INSTALL) 644 $$file $(D)/share/bulwark/$${file#scripts/} || exit 1; done
	mkdir -p $(D)/share/bash-completion/completions $(D)/lib/systemd/system
	$(BUILD)/bulwark completion > $(D)/share/bash-completion/completions/bulwark
	for unit in scripts/systemd/*.service; do \
		sed 's|@PREFIX@|$(PREFIX)|' $$unit > $(D)/lib/systemd/system/$${unit##*/} || exit 1; done
	$(INSTALL) 644 scripts/systemd/bulwark.sysusers $(D)/lib/sysusers.d/bulwark.conf
	[ -n "$(DESTDIR)" ] || systemd-sysusers $(D)/lib/sysusers.d/bulwark.conf || \
		echo "no user bulwark was made, and bulwarkd stays root: useradd --system --no-create-home bulwark" >&2
	mkdir -p $(DESTDIR)$(UDEV_RULES)
	sed 's|@PREFIX@|$(PREFIX)|' scripts/systemd/90-bulwark.rules > $(DESTDIR)$(UDEV_RULES)/90-bulwark.rules

uninstall:
	rm -f $(PROGRAMS:%=$(D)/sbin/%) $(D)/share/bash-completion/completions/bulwark
	for page in $(MANUALS); do rm -f $(D)/share/man/man$${page##*.}/$${page##*/}; done
	for unit in scripts/systemd/*.service; do rm -f $(D)/lib/systemd/system/$${unit##*/}; done
	rm -rf $(D)/lib/sysusers.d/bulwark.conf $(D)/share/bulwark $(DESTDIR)$(UDEV_RULES)/90-bulwark.rules

tidy: dependencies-lint $(SKELS)
	printf '%s\n' $(wildcard userspace/*.c) | xargs -P 2 -I{} clang-tidy --quiet {} -- \
		$(subst -I$(BUILD),-isystem $(BUILD),$(filter-out -MMD -MP,$(USER_CFLAGS)))

# COVERED: what is run for it. make coverage COVERED='$(TESTS)' takes half an hour and tells more.
COVERED ?= $(UNITS) $(wildcard tests/policies/run tests/packets/run tests/packets/accuracy tests/packets/cpus tests/cli/run tests/evaluator/run \
	   tests/netns/test_live.sh tests/netns/test_holds.sh tests/netns/test_apply_faults.sh tests/netns/test_daemon.sh)
coverage: dependencies
	$(MAKE) BUILD=$(BUILD)/coverage CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage all tests
	find $(BUILD)/coverage -name '*.gcda' -delete
	-scripts/run-tests --build $(BUILD)/coverage $(COVERED:$(BUILD)/tests/%=$(BUILD)/coverage/tests/%)
	tests/lint/coverage $(BUILD)/coverage

# What is silenced stands with its reason in the file of suppressions.
cppcheck: dependencies-lint
	cppcheck --quiet --error-exitcode=1 -j2 --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=tests/lint/cppcheck.suppressions --include=tests/lint/cppcheck.h \
		-Iinclude -Iuserspace -D_GNU_SOURCE userspace

format-check: dependencies-lint
	clang-format --dry-run --Werror $(wildcard include/*.h bpf/*.[ch] userspace/*.[ch] tests/*/*.[ch])

clean:
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/*.d $(BUILD)/tests/*.d tests/bench/bench.mk tests/fuzz/fuzz.mk)
.PHONY: coverage cppcheck accuracy memory soak all check check-vm kernels-vm run sanitize tests man install uninstall mutate tidy format-check clean \
	dependencies dependencies-vm dependencies-run dependencies-lint dependencies-fuzz
.SECONDARY:
