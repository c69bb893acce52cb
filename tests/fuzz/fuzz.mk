# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# make fuzz: every fuzzer of this directory for FUZZ_SECONDS, or TIME (30m, 8h) in all; FUZZERS="packet feed" chooses;
# FUZZ_SEED=1 repeats a run (0: another one each time).
# Seeds are the golden policies, the rows of tests/packets and tests/fuzz/seeds. What is found stays in build/fuzz, and
# build/fuzz/corpus grows from run to run.

FUZZ_SECONDS ?= 60
FUZZ_SEED    ?= 0
FUZZERS      ?= policy feed packet text events saved capture hello request
FUZZ_BUILD   := $(BUILD)/fuzz
SANITIZERS   := address,undefined,float-cast-overflow
FUZZ_MAKE     = $(MAKE) BUILD=$(FUZZ_BUILD) CC='$(FUZZ_CC)' WARNINGS=-Wall \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,$(SANITIZERS) -fno-sanitize-recover=all'
FUZZ_CC      ?= $(CLANG)
SHIELD_USER_CFLAGS = $(WARNINGS) -fno-strict-aliasing -DBPF_NO_KFUNC_PROTOTYPES -I$(BUILD) -Iinclude -MMD -MP

fuzz: dependencies-fuzz $(BUILD)/tests/run_rows
	$(FUZZ_MAKE) $(FUZZERS:%=$(FUZZ_BUILD)/fuzz_%)
	BUILD=$(BUILD) tests/fuzz/run --seconds '$(FUZZ_SECONDS)' --time '$(TIME)' --seed '$(FUZZ_SEED)' $(FUZZERS)

# What a fuzzer needs beside its own file and the library.
$(BUILD)/fuzz_packet: $(BUILD)/fuzz_evaluate.o $(BUILD)/fuzz_evaluate_parse.o $(BUILD)/fuzz_shield_user.o
$(BUILD)/fuzz_packet: FUZZ_LINK := -rdynamic
$(BUILD)/fuzz_text: $(BUILD)/fuzz_evaluate_parse.o

$(BUILD)/fuzz_%.o: tests/fuzz/%.c | $(SKELS)
	$(CC) $(USER_CFLAGS) -c $< -o $@

# The kernel's own source: packets stand where they stand, and types are what the program reads them as.
$(BUILD)/fuzz_shield_user.o: tests/fuzz/shield_user.c $(BUILD)/vmlinux.h
	$(CC) $(CFLAGS) -fno-sanitize=alignment $(SHIELD_USER_CFLAGS) -c $< -o $@

# The same without what instruments it, as the kernel has it: its instructions are counted.
$(BUILD)/paths_shield_user.o: tests/fuzz/shield_user.c $(BUILD)/vmlinux.h
	$(FUZZ_CC) -O2 -g $(SHIELD_USER_CFLAGS) -c $< -o $@

$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libbulwark.a | $(SKELS)
	$(CC) $(USER_CFLAGS) $(FUZZ_LINK) -fsanitize=fuzzer $(filter %.c %.o %.a,$^) $(PKG_LIBS) -o $@

$(BUILD)/tests/run_paths: tests/packets/run_paths.c $(addprefix $(BUILD)/fuzz_,fuzz_packet.o evaluate.o evaluate_parse.o) \
		$(BUILD)/paths_shield_user.o $(BUILD)/libbulwark.a
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) -rdynamic $(filter %.c %.o %.a,$^) $(PKG_LIBS) -o $@

.PHONY: fuzz
