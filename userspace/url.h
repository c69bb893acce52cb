/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of feeds on the web, as a policy may write them. */
#ifndef BULWARK_URL_H
#define BULWARK_URL_H

#include <stdbool.h>

/* Whether text is meant as one: it has a scheme. */
bool is_url(const char *text);
/* NULL for "https://HOST[:PORT][/PATH][?QUERY]"; else what is wrong with it, to be read after the quoted text. */
const char *url_problem(const char *url);

#endif
