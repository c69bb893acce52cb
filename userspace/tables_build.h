/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the builders of the two families share: the interned sets of lists. Private to tables*.c. */
#ifndef BULWARK_USERSPACE_TABLES_BUILD_H
#define BULWARK_USERSPACE_TABLES_BUILD_H

#include "tables.h"

struct classes {
	__u64 *lists; /* class -> set of lists; [0] is 0 */
	size_t count, capacity;
	__u32 *slots; /* CLASS_SLOTS, open addressing: class + 1, 0 is free */
};

/* Ready, with class 0 for the empty set. 0 or -ENOMEM. */
int classes_begin(struct classes *classes);
/* The class of a set of lists, new if need be. Negative: -ENOMEM or -E2BIG. */
int class_of_lists(struct classes *classes, __u64 lists);

int v4_build(struct prefixes *prefixes, struct classes *classes, struct tables *tables);
int v6_build(struct prefixes *prefixes, struct classes *classes, __u64 seed, struct tables *tables);

/* address in host order */
__u16 v4_class(const struct tables *tables, __u32 address);
__u16 v6_class(const struct tables *tables, __u64 high, __u64 low);

#endif
