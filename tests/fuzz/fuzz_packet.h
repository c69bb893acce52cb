/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an input of fuzz_packet.c is made of, for those who make some. */
#ifndef BULWARK_FUZZ_PACKET_H
#define BULWARK_FUZZ_PACKET_H

/* In tests/packets/policies; the first byte of an input is an index, with 0x80 for a host that knows its addresses. */
static const char *const fuzz_policies[] = {"base", "forward-drop", "forward-services", "monitor", "open",
					    "to",   "quic"};

enum step { STEP_IN, STEP_SENT, STEP_OPEN, STEPS };

#endif
