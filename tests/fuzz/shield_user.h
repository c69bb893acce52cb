/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program of bpf/shield.bpf.c as a function of this process: the same source, compiled for the user's side. */
#ifndef BULWARK_SHIELD_USER_H
#define BULWARK_SHIELD_USER_H

#include "../../include/generation.h"
#include "../../include/state.h"

/* A map of the program. Its address stands in the first word of the program's definition of it. */
struct user_map {
	char *memory; /* values one after the other; a hash: key and value of each entry */
	unsigned key_size, value_size, entries;
	unsigned used;	  /* of a hash */
	bool hash, table; /* table: its content is a policy's */
	bool state;	  /* what a run writes is taken back by shield_reset() */
};

extern struct generation_config user_constants;

/* Where set, it is called right before a frame is judged (NULL) and right after. */
extern void (*shield_watch)(const struct decision *decision);

/* A frame that came in, one that leaves. Memory behind the frame's end cannot be read. */
void shield_judge(const unsigned char *frame, unsigned length, __u64 now_ns, struct decision *decision);
void shield_sent(const unsigned char *frame, unsigned length, __u64 now_ns);
void shield_own_known(bool known);
/* As before the first frame: every array that runs wrote to, every hash emptied. */
void shield_reset(void);

void *user_lookup(struct user_map *map, const void *key);
int user_insert(struct user_map *map, const void *key, const void *value);

#endif
