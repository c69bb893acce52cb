/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The small texts of the policy language: rates, times, ports, dates, and back. Pure; strict; no errors of their own.
 */
#ifndef BULWARK_VALUES_H
#define BULWARK_VALUES_H

#include "policy.h"

#define RATE_COUNT_MAX 1000000000000ULL /* 1T a period is more than any wire carries */
#define VALUE_TEXT 64			/* room for any of the texts made here */

/* "50/s", "3k/m", "10M/h": a whole number, k, M or G (thousands), a period s, m, h or d. 0, -EINVAL, -ERANGE. */
int rate_parse(const char *text, struct policy_rate *rate);
const char *rate_text(const struct policy_rate *rate, char *buffer);

/* What a number counts: 20k; 1MiB, 500kB; 100Mbit. */
enum unit { UNIT_ONE, UNIT_BYTE, UNIT_BIT };

/* "100", "20k" | "1MiB" | "100Mbit"; and rates of them, "1MiB/s". 0, -EINVAL, -ERANGE. */
int amount_parse(const char *text, enum unit unit, __u64 *amount);
int amount_rate_parse(const char *text, enum unit unit, struct policy_rate *rate);
const char *amount_text(__u64 amount, enum unit unit, char *buffer);
const char *amount_rate_text(const struct policy_rate *rate, enum unit unit, char *buffer);

/* "10s", "5m", "24h", "7d": a whole number and one unit. 0, -EINVAL, -ERANGE (beyond ten years). */
int period_parse(const char *text, __u64 *seconds);
const char *period_text(__u64 seconds, char *buffer);

/*
 * "tcp/443", "udp/9000-9010", "sctp/\*" without the backslash, "ip/vrrp", "ip/112". NULL, or what is wrong with it.
 * Ports are 1..65535; range->at is left alone.
 */
const char *port_parse(const char *text, struct port_range *range);
const char *port_text(const struct port_range *range, char *buffer);

/* "2027-01-31": a day that exists, from 2000 on. Days since 1970-01-01, or -EINVAL. */
long date_parse(const char *text);

#endif
