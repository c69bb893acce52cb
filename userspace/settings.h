/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings that both programs take: from the environment, then from options. Words are out when they fail. */
#ifndef BULWARK_SETTINGS_H
#define BULWARK_SETTINGS_H

#include "kernel.h"

#define PIN_DIR_DEFAULT "/sys/fs/bpf/bulwark"
#define STATE_DIR_DEFAULT "/var/lib/bulwark"

/* enum exit_status */
int places_from_environment(struct places *places);
int place_set(char *place, size_t size, const char *option, const char *value);

/* "64MiB", "512KiB", "1000". 0 or -EINVAL. */
int bytes_parse(const char *text, __u64 *bytes);

#endif
