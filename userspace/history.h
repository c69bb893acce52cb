/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The history and the kernel: a policy that nobody confirmed was taken back by the kernel, with nobody there to note
 * it. */
#ifndef BULWARK_HISTORY_H
#define BULWARK_HISTORY_H

#include "saved.h"

/*
 * What is missing in the history, given what is live: NULL when nothing is, else the action to note ("reverted", or
 * "confirmed" when the one who confirmed died before noting it) and its members. Pure.
 */
const char *history_missing(const json_t *entries, const struct control_state *state, json_t **more);

/* Notes what is missing, under the lock. 1: something was; 0: nothing was; -errno. */
int history_settle(const struct places *places);

#endif
