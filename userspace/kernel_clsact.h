/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TC egress where the kernel has no tcx (below 6.6): one filter of ours in the clsact qdisc. Only kernel*.c. */
#ifndef BULWARK_KERNEL_CLSACT_H
#define BULWARK_KERNEL_CLSACT_H

#include <linux/types.h>
#include <stdbool.h>

#include "../include/control.h"

/* Adds or replaces our filter; made_qdisc: clsact was not there. 0 or -errno. */
int clsact_filter_add(unsigned ifindex, enum hook side, int program, bool *made_qdisc);
/* Whether our filter is there and runs this program. */
bool clsact_filter_there(unsigned ifindex, enum hook side, __u32 program_id);
/* Removes our filter; the qdisc too when it was made by us and nobody else has put a filter into it. */
void clsact_filter_remove(unsigned ifindex, enum hook side, __u32 program_id, bool made_qdisc);

#endif
