/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JA4, FoxIO's fingerprint of TLS clients: the same client has the same name in other tools and here. Pure. */
#ifndef BULWARK_JA4_H
#define BULWARK_JA4_H

#include <linux/types.h>

#include "../include/fingerprint.h"

#define JA4_TEXT (JA4_LENGTH + 1)

const char *ja4_text(const struct sighting *sighting, char text[JA4_TEXT]);
/* What is wrong with the text of one, with the remedy; NULL: nothing. */
const char *ja4_trouble(const char *text);

#endif
