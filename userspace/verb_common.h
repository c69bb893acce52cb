/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Steps that several verbs begin with. Each says its own words and returns enum exit_status. */
#ifndef BULWARK_VERB_COMMON_H
#define BULWARK_VERB_COMMON_H

#include "output.h"
#include "saved.h"

/* Takes no options of its own and no operand. */
int nothing_but_options(const struct context *context, int argc, char **argv);
/* Takes no options and at most one operand; *operand is NULL when there is none. */
int only_operand(const struct context *context, int argc, char **argv, const char **operand);
/* After the options: exactly one operand. what: what it is called in messages. */
int one_operand(const struct context *context, int argc, char **argv, const char *what, const char **operand);
/* After the options: no operand. */
int no_operands(const struct context *context, int argc, char **argv);
/* Words of a person that are kept and shown: UTF-8 without control characters, shorter than size bytes. */
int read_words(const struct context *context, const char *option, const char *text, size_t size);
/* "203.0.113.0/24": not an address, a bad length and host bits each have their words. */
int read_prefix(const struct context *context, const char *text, struct prefix *prefix);
/* The same for a ban or an exception: never a whole family, and no IPv6 prefix that holds all of IPv4 (::ffff:0:0/96).
 */
int read_hold(const struct context *context, const char *text, struct prefix *prefix);
/* "10m", more than nothing and at most ten years. */
int read_duration(const struct context *context, const char *option, const char *text, __u64 *ns);
/* Opens the instance of this context, see enum open_how. */
int open_instance(const struct context *context, unsigned how, struct instance **instance);
/* The generation in force: 0 when none or paused over none. */
int live_generation(struct instance *instance, unsigned *generation);

/* Whether two prefixes share an address. */
bool prefixes_meet(const struct prefix *one, const struct prefix *other);
/* Clock readings of the kernel (CLOCK_BOOTTIME) as seconds since the epoch. */
double boottime_to_epoch(__u64 ns);

#endif
