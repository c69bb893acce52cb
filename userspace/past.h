/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the history says of policies that were live. Pure but for reading the file. */
#ifndef BULWARK_PAST_H
#define BULWARK_PAST_H

#include "saved.h"

/* The generation that was in force before this one; 0: none is known. */
unsigned past_before(const struct places *places, unsigned generation);
/* The newest generation that was meant to stay: confirmed or never in need of it, and not taken down; 0: none. */
unsigned past_confirmed(const struct places *places);

#endif
