# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The flood generator and what else the lab (scripts/demo) and the benchmark need.

BENCH_BUILD    := $(BUILD)/bench
lab-programs: $(BUILD)/flood $(BENCH_BUILD)/wire
tests: lab-programs
bench-programs: lab-programs $(BUILD)/tests/run_accuracy $(addprefix $(BENCH_BUILD)/,probe tc_probe run_stats prefixes latency empty_tc.bpf.o bare.bpf.o bucket.bpf.o pass.bpf.o)

# BENCH_ROUNDS=N: other than nine; BENCH='--quick', '--only limits': what tests/bench/bench --help says.
bench: dependencies-bench
	$(MAKE) all bench-programs
	tests/bench/bench --build $(BUILD) --bpftool $(BPFTOOL) $(if $(BENCH_ROUNDS),--rounds $(BENCH_ROUNDS)) $(BENCH)

# Also the curves: up to an hour.
bench-full:
	$(MAKE) bench BENCH='--full $(BENCH)'

bench-readme:
	tests/bench/readme $(BUILD)/bench/results.json README.md

# A peer that the distribution does not have is shown as not there.
dependencies-bench:
	scripts/dependencies build test run bench
	-scripts/dependencies peers

$(BENCH_BUILD)/%.bpf.o: tests/bench/%.bpf.c $(BUILD)/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BENCH_BUILD)/%.skel.h: $(BENCH_BUILD)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

$(BENCH_BUILD)/%.o: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -I$(BENCH_BUILD) -c $< -o $@

$(BENCH_BUILD)/flood_send.o: | $(BENCH_BUILD)/flood.skel.h
$(BENCH_BUILD)/probe.o: | $(BENCH_BUILD)/probe.skel.h
$(BENCH_BUILD)/wire.o: | $(BENCH_BUILD)/wire.skel.h
$(BENCH_BUILD)/tc_probe.o: | $(BENCH_BUILD)/empty_tc.skel.h
$(BENCH_BUILD)/run_stats.o: | $(BENCH_BUILD)/empty_sockops.skel.h

$(BUILD)/flood: $(addprefix $(BENCH_BUILD)/,flood.o flood_send.o flood_replay.o flood_frames.o flood_sources.o)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

$(BENCH_BUILD)/probe: $(addprefix $(BENCH_BUILD)/,probe.o flood_frames.o flood_sources.o)
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -lpthread -o $@

$(addprefix $(BENCH_BUILD)/,wire tc_probe run_stats prefixes latency): %: %.o
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

# For whoever works on the tables: what they cost to build and how large they are, without a kernel.
bench-tables: $(BENCH_BUILD)/tables_build
	$< $(PREFIXES)

$(BENCH_BUILD)/tables_build: $(BENCH_BUILD)/tables_build.o $(BUILD)/libbulwark.a
	$(CC) $(USER_CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

-include $(wildcard $(BENCH_BUILD)/*.d)
.PHONY: lab-programs bench-programs bench bench-full bench-tables bench-readme dependencies-bench
