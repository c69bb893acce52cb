# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The flood generator, the lab that shows the shield at work, and the benchmark.

BENCH_CFLAGS = $(CFLAGS) -I$(BUILD)/bench

$(BUILD)/bench/:
	mkdir -p $@

$(BUILD)/bench/%.bpf.o: tests/bench/%.bpf.c $(BUILD)/vmlinux.h | $(BUILD)/bench/
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/bench/%.skel.h: $(BUILD)/bench/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/bench/flood.o: $(BUILD)/bench/flood.skel.h

$(BUILD)/bench/%.o: tests/bench/%.c | $(BUILD)/bench/
	$(CC) $(BENCH_CFLAGS) -c $< -o $@

$(BUILD)/flood: $(addprefix $(BUILD)/bench/,flood.o flood_frames.o flood_sources.o)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

-include $(wildcard $(BUILD)/bench/*.d)
