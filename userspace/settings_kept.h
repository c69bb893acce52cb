/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sysctls that this instance has changed, and what they were: in the state directory, until `down` puts them back. */
#ifndef BULWARK_SETTINGS_KEPT_H
#define BULWARK_SETTINGS_KEPT_H

#include "kernel.h"

/* Sets net.ipv4.NAME; the first time, what it was is kept. 0 or -errno. */
int sysctl_set(const struct places *places, const char *name, int value);
/* Puts back what is kept, where it still is as it was set; every one is named in `told` (the caller's). 0 or -errno. */
int sysctls_put_back(const struct places *places, char *told, size_t size);

#endif
