/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures (pcap, pcapng), read through libpcap and brought to Ethernet frames. */
#ifndef BULWARK_CAPTURE_FILE_H
#define BULWARK_CAPTURE_FILE_H

#include <linux/types.h>
#include <stddef.h>

struct capture; /* opaque */

struct captured {
	const __u8 *frame; /* valid until the next call */
	size_t length;	   /* bytes of it that were captured */
	size_t original;   /* bytes it had on the wire; more than length: cut off by the capture (snaplen) */
	__u64 time_ns;	   /* since the epoch */
};

/* path "-": standard input, copied so that it can be read twice. 0 or -errno with words in error. */
int capture_open(const char *path, struct capture **capture, char *error, size_t error_size);
/* 1: a packet; 0: the end; -EIO: the file is damaged from here on, words in capture_words(). */
int capture_next(struct capture *capture, struct captured *packet);
const char *capture_words(struct capture *capture);
/* Back to the first packet. 0 or -errno. */
int capture_rewind(struct capture *capture);
void capture_close(struct capture *capture);

#endif
