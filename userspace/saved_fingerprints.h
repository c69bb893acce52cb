/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fingerprints of TLS clients that outlive a reboot: the daemon saves them, it and the first apply put them back. */
#ifndef BULWARK_SAVED_FINGERPRINTS_H
#define BULWARK_SAVED_FINGERPRINTS_H

#include "saved.h"

/* Writes STATE/fingerprints.json whole, and renames it into place. 0 or -errno; the old one stays then. */
int fingerprints_save(const struct places *places, struct instance *instance);
/* Into the instance, beside what is there. A file that is not there, or that is damaged, teaches nothing. */
void fingerprints_restore(const struct places *places, struct instance *instance);

#endif
