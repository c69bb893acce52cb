/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any bytes as a capture file: refused with words, or packets that hold together, the same ones when read again. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../userspace/capture_file.h"
#include "../../userspace/packet_flow.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define PACKETS_MAX 1000

/* A number that depends on every packet and on how it ended. */
static __u64 read_all(struct capture *capture)
{
	struct captured packet;
	struct packet_flow flow;
	__u64 seen = 0;
	int next = 0;

	for (int i = 0; i < PACKETS_MAX; i++) {
		next = capture_next(capture, &packet);
		if (next != 1)
			break;
		if (packet.length > packet.original || (packet.length && !packet.frame))
			abort();
		packet_flow(packet.frame, packet.length, packet.original, &flow);
		for (size_t j = 0; j < packet.length; j++)
			seen = seen * 31 + packet.frame[j];
		seen = seen * 31 + packet.time_ns + packet.original;
	}
	if (next < 0 && !*capture_words(capture))
		abort();
	return seen * 31 + next;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static int fd = -1;
	struct capture *capture;
	char path[64], error[256] = "";
	__u64 first;

	if (fd < 0)
		fd = memfd_create("capture", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (capture_open(path, &capture, error, sizeof(error))) {
		if (!*error)
			abort();
		return 0;
	}
	first = read_all(capture);
	if (capture_rewind(capture) || read_all(capture) != first)
		abort();
	capture_close(capture);
	return 0;
}
