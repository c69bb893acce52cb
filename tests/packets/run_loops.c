/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * usage: run_loops        TAP
 *
 * Linux 6.1 refuses ("back-edge from insn A to B") a program in which an instruction that does not jump falls into the
 * head of the loop that it stands in; compilers place loops so now and then, and newer kernels do not mind. Its walk
 * over the program (check_cfg() in kernel/bpf/verifier.c) is repeated here, so that no virtual machine is needed to see
 * it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel_private.h"
#include "root.skel.h"
#include "shield.skel.h"

enum { UNSEEN, ON_THE_WAY, EXPLORED }; /* of an instruction */

struct edge {
	size_t to;
	bool may_go_back;
};

struct walk {
	const struct bpf_insn *code;
	size_t count, depth;
	unsigned char *state, *taken; /* taken: edges that were followed, of each instruction */
	size_t *way;
};

static bool is_jump(const struct bpf_insn *insn)
{
	__u8 class = BPF_CLASS(insn->code);

	return (class == BPF_JMP || class == BPF_JMP32) && BPF_OP(insn->code) != BPF_CALL &&
	       BPF_OP(insn->code) != BPF_EXIT;
}

/* The edges of an instruction, in the order in which the kernel follows them. */
static unsigned edges_of(const struct walk *walk, size_t at, struct edge edges[2])
{
	const struct bpf_insn *insn = &walk->code[at];
	size_t next = at + (insn->code == (BPF_LD | BPF_IMM | BPF_DW) ? 2 : 1);

	if (insn->code == (BPF_JMP | BPF_EXIT))
		return 0;
	if (insn->code == (BPF_JMP | BPF_JA)) {
		edges[0] = (struct edge){at + 1 + insn->off, true};
		return 1;
	}
	edges[0] = (struct edge){next, is_jump(insn)};
	if (!is_jump(insn))
		return 1;
	edges[1] = (struct edge){at + 1 + insn->off, true};
	return 2;
}

/* Where 6.1 would refuse, or -1. */
static long walk_from(struct walk *walk, size_t start)
{
	if (walk->state[start] != UNSEEN)
		return -1;
	walk->depth = 0;
	walk->way[walk->depth++] = start;
	walk->state[start] = ON_THE_WAY;
	while (walk->depth) {
		size_t at = walk->way[walk->depth - 1];
		struct edge edges[2];
		unsigned count = edges_of(walk, at, edges);
		const struct edge *edge = &edges[walk->taken[at]];

		if (walk->taken[at] == count) {
			walk->state[at] = EXPLORED;
			walk->depth--;
			continue;
		}
		walk->taken[at]++;
		if (edge->to >= walk->count)
			return at;
		if (walk->state[edge->to] == UNSEEN) {
			walk->state[edge->to] = ON_THE_WAY;
			walk->way[walk->depth++] = edge->to;
		} else if (walk->state[edge->to] == ON_THE_WAY && !edge->may_go_back) {
			return at;
		}
	}
	return -1;
}

/* The functions of a program: its own start, and what it calls or hands to a helper. */
static long refused_at(const struct bpf_insn *code, size_t count)
{
	struct walk walk = {
		.code = code,
		.count = count,
		.state = calloc(count, 1),
		.taken = calloc(count, 1),
		.way = calloc(count, sizeof(size_t)),
	};
	long refused = !walk.state || !walk.taken || !walk.way ? 0 : walk_from(&walk, 0);

	for (size_t i = 0; refused < 0 && i < count; i++) {
		bool calls = code[i].code == (BPF_JMP | BPF_CALL) && code[i].src_reg == BPF_PSEUDO_CALL;

		if (calls || (code[i].code == (BPF_LD | BPF_IMM | BPF_DW) && code[i].src_reg == BPF_PSEUDO_FUNC))
			refused = walk_from(&walk, i + 1 + code[i].imm);
	}
	free(walk.state);
	free(walk.taken);
	free(walk.way);
	return refused;
}

static unsigned tests, failures;

static void judge(const char *name, const struct bpf_insn *code, size_t count)
{
	long refused = count ? refused_at(code, count) : 0;

	failures += refused >= 0;
	printf("%sok %u - %s: no instruction of %zu falls into the head of its own loop\n", refused < 0 ? "" : "not ",
	       ++tests, name, count);
	if (refused >= 0)
		printf("#   6.1 would say: back-edge from insn %ld to %ld. Shape the loop otherwise.\n", refused,
		       refused + 1);
}

static int judge_object(struct bpf_object *object)
{
	struct bpf_program *program;
	int error = bpf_object__load(object);

	if (error)
		return error;
	bpf_object__for_each_program(program, object)
		judge(bpf_program__name(program), bpf_program__insns(program), bpf_program__insn_cnt(program));
	return 0;
}

/* The check itself: a loop whose last instruction falls into its head, entered by a jump over that; then a plain loop.
 */
static void judge_made_up(void)
{
	const struct bpf_insn falls[] = {
		{.code = BPF_JMP | BPF_JA, .off = 1},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = 1}, /* falls into the head */
		{.code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 1, .imm = 9, .off = -2},
		{.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_insn jumps[] = {
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = 1},
		{.code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 1, .imm = 9, .off = -2},
		{.code = BPF_JMP | BPF_EXIT},
	};
	bool right = refused_at(falls, sizeof(falls) / sizeof(*falls)) == 1 &&
		     refused_at(jumps, sizeof(jumps) / sizeof(*jumps)) < 0;

	failures += !right;
	printf("%sok %u - a loop that falls into its head is told from one that jumps there\n", right ? "" : "not ",
	       ++tests);
}

int main(void)
{
	struct root_bpf *root;
	struct shield_bpf *shield;
	int error;

	libbpf_quiet();
	root = root_bpf__open();
	shield = shield_bpf__open();
	error = root && shield ? judge_object(root->obj) : -errno;
	if (!error)
		error = judge_object(shield->obj);
	if (loading_denied(error)) {
		printf("1..0 # SKIP loading programs needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root)\n");
		return 0;
	}
	if (error)
		printf("not ok %u - the programs load: %s\n", ++tests, strerror(-error));
	shield_bpf__destroy(shield);
	root_bpf__destroy(root);
	judge_made_up();
	printf("1..%u\n", tests);
	return failures || error ? 1 : 0;
}
