# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# make            build/bulwark and build/bulwarkd
# make check      installs what is missing, builds, runs the tests
# make run        installs what is missing, builds, shows the shield at work in a lab of network namespaces

BUILD   ?= build
CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PKGS    := libbpf libfyaml jansson libnl-3.0 libnl-route-3.0 smartcols libpcap
CFLAGS  ?= -O2 -g
override CFLAGS += -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -MMD -MP -I$(BUILD) -Iinclude $(shell pkg-config --cflags $(PKGS))
LDLIBS  += $(shell pkg-config --libs $(PKGS)) -lxxhash
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -fno-strict-aliasing -I$(BUILD) -Iinclude -MMD -MP

PROGRAMS := bulwark bulwarkd
MAINS    := $(addprefix userspace/,$(addsuffix .c,$(PROGRAMS)))
LIBRARY  := $(patsubst userspace/%.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(wildcard userspace/*.c)))
BPF      := root shield
SKELS    := $(BPF:%=$(BUILD)/%.skel.h)

all: $(addprefix $(BUILD)/,$(PROGRAMS))

$(BUILD)/:
	mkdir -p $@

$(BUILD)/vmlinux.h: | $(BUILD)/
	$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp && mv $@.tmp $@

$(BUILD)/%.bpf.o: bpf/%.bpf.c $(BUILD)/vmlinux.h
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/%.o: userspace/%.c $(SKELS) | $(BUILD)/
	$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/libbulwark.a: $(LIBRARY)
	rm -f $@ && ar rcs $@ $^

$(BUILD)/%: $(BUILD)/%.o $(BUILD)/libbulwark.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

clean:
	rm -rf $(BUILD)

-include $(wildcard $(BUILD)/*.d)
.PHONY: all clean
.SECONDARY:
