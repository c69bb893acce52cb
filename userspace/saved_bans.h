/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bans and exceptions that outlive a reboot: the daemon saves them, the first apply after a boot holds them again. */
#ifndef BULWARK_SAVED_BANS_H
#define BULWARK_SAVED_BANS_H

#include "saved.h"

/* Writes STATE/bans.jsonl whole, and renames it into place. 0 or -errno; the old one stays then. */
int bans_save(const struct places *places, struct instance *instance);
/* `down`: nothing is to come back. */
void bans_forget(const struct places *places);

struct bans_restored {
	size_t held, over, lost; /* lost: lines that could not be read or had no room */
};
/* Into an instance that was just made. A file that is not there is fine. */
int bans_restore(const struct places *places, struct instance *instance, struct bans_restored *restored);

#endif
