/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* libpcap reads the file; it is loaded when the first one is opened, because with it come a dozen libraries that no
 * other verb needs. Link types without an Ethernet header get one, so that the real program can judge them. */
#include <dlfcn.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture_file.h"

#define ETHERNET_BYTES 14

/* What is used of libpcap, under its own names. */
#define PCAP_FUNCTIONS(FUNCTION)                                                                                       \
	FUNCTION(pcap_close)                                                                                           \
	FUNCTION(pcap_datalink)                                                                                        \
	FUNCTION(pcap_datalink_val_to_name)                                                                            \
	FUNCTION(pcap_fopen_offline_with_tstamp_precision)                                                             \
	FUNCTION(pcap_geterr)                                                                                          \
	FUNCTION(pcap_next_ex)

static struct {
#define FUNCTION(name) __typeof__(name) *name;
	PCAP_FUNCTIONS(FUNCTION)
#undef FUNCTION
} library;

struct capture {
	FILE *file; /* ours; libpcap reads from copies of its descriptor */
	pcap_t *pcap;
	int link_type;
	__u8 *buffer; /* room for a converted frame */
	size_t capacity;
	char words[PCAP_ERRBUF_SIZE];
};

/* Debian's name of it, and everybody else's. It stays loaded. 0 or -errno with words in error. */
static int load_library(char *error, size_t error_size)
{
	void *handle = dlopen("libpcap.so.0.8", RTLD_NOW) ?: dlopen("libpcap.so.1", RTLD_NOW);
	bool whole = handle;

	if (!handle) {
		snprintf(error, error_size, "libpcap, which reads captures, cannot be loaded: %s", dlerror());
		return -ELIBACC;
	}
#define FUNCTION(name) whole = (library.name = (__typeof__(name) *)dlsym(handle, #name)) && whole;
	PCAP_FUNCTIONS(FUNCTION)
#undef FUNCTION
	if (whole)
		return 0;
	snprintf(error, error_size, "libpcap, which reads captures, is too old: it lacks functions");
	return -ELIBBAD;
}

/* What stands before the network header in link types that are not Ethernet, and the type of what follows; 0 bytes and
 * type 0 when the packet is too short to tell. */
struct link {
	size_t bytes;
	unsigned type;
};

static unsigned family_type(__u32 family)
{
	switch (family) {
	case 2: /* AF_INET everywhere */
		return 0x0800;
	case 10: /* AF_INET6 of Linux, the BSDs and macOS */
	case 24:
	case 28:
	case 30:
		return 0x86dd;
	default:
		return 0;
	}
}

/* DLT_NULL is in the byte order of the machine that captured: families are small, so the order shows. */
static struct link loopback_link(const __u8 *data, size_t length)
{
	__u32 family;

	if (length < 4)
		return (struct link){0};
	family = data[0] | data[1] ? data[0] | data[1] << 8 : data[2] << 8 | data[3];
	return (struct link){4, family_type(family)};
}

static struct link raw_link(const __u8 *data, size_t length)
{
	unsigned version = length ? data[0] >> 4 : 0;

	return (struct link){0, version == 4 ? 0x0800 : version == 6 ? 0x86dd : 0};
}

static struct link link_of(int link_type, const __u8 *data, size_t length)
{
	switch (link_type) {
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return raw_link(data, length);
	case DLT_NULL:
	case DLT_LOOP:
		return loopback_link(data, length);
	case DLT_LINUX_SLL:
		return length < 16 ? (struct link){0} : (struct link){16, data[14] << 8 | data[15]};
	default: /* DLT_LINUX_SLL2 */
		return length < 20 ? (struct link){0} : (struct link){20, data[0] << 8 | data[1]};
	}
}

static bool link_type_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_LINUX_SLL:
#ifdef DLT_LINUX_SLL2
	case DLT_LINUX_SLL2:
#endif
		return true;
	default:
		return false;
	}
}

static int to_ethernet(struct capture *capture, struct captured *packet)
{
	static const __u8 addresses[12] = {0x52, 0x54, 0x00, 0x5b, 0x1d, 0x02, 0x52, 0x54, 0x00, 0x5b, 0x1d, 0x01};
	struct link link = link_of(capture->link_type, packet->frame, packet->length);
	size_t length = packet->length - link.bytes + ETHERNET_BYTES;

	if (length > capture->capacity) {
		__u8 *buffer = realloc(capture->buffer, length);

		if (!buffer)
			return -ENOMEM;
		capture->buffer = buffer;
		capture->capacity = length;
	}
	memcpy(capture->buffer, addresses, 12);
	capture->buffer[12] = link.type >> 8;
	capture->buffer[13] = link.type;
	memcpy(capture->buffer + ETHERNET_BYTES, packet->frame + link.bytes, packet->length - link.bytes);
	packet->frame = capture->buffer;
	packet->original = packet->original - link.bytes + ETHERNET_BYTES;
	packet->length = length;
	return 0;
}

/* A pipe cannot be read twice: the standard input is copied to an unnamed file. */
static FILE *copy_of_input(void)
{
	FILE *copy = tmpfile();
	char chunk[65536];
	size_t count;

	if (!copy)
		return NULL;
	while ((count = fread(chunk, 1, sizeof(chunk), stdin))) {
		if (fwrite(chunk, 1, count, copy) != count)
			break;
	}
	if (!feof(stdin) || fflush(copy)) {
		fclose(copy);
		return NULL;
	}
	return copy;
}

/* libpcap closes the file it reads, so it gets a copy of ours. */
static int start(struct capture *capture, char *error, size_t error_size)
{
	char words[PCAP_ERRBUF_SIZE] = "";
	int fd = dup(fileno(capture->file));
	FILE *file;

	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0 || !(file = fdopen(fd, "r"))) {
		snprintf(error, error_size, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -EIO;
	}
	capture->pcap = library.pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, words);
	if (!capture->pcap) {
		fclose(file);
		snprintf(error, error_size, "%s", words);
		return -EINVAL;
	}
	capture->link_type = library.pcap_datalink(capture->pcap);
	if (link_type_known(capture->link_type))
		return 0;
	snprintf(error, error_size,
		 "its link type %s is not one that can be judged (Ethernet, raw IP, Linux cooked, "
		 "BSD loopback)",
		 library.pcap_datalink_val_to_name(capture->link_type) ?: "unknown");
	return -EINVAL;
}

int capture_open(const char *path, struct capture **capture, char *error, size_t error_size)
{
	struct capture *opened;
	int err;

	*capture = NULL;
	err = load_library(error, error_size);
	if (err)
		return err;
	opened = calloc(1, sizeof(*opened));
	if (!opened) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	opened->file = strcmp(path, "-") ? fopen(path, "re") : copy_of_input();
	if (!opened->file) {
		err = -errno;
		snprintf(error, error_size, "%s", strerror(errno));
		free(opened);
		return err;
	}
	err = start(opened, error, error_size);
	if (err) {
		capture_close(opened);
		return err;
	}
	*capture = opened;
	return 0;
}

int capture_next(struct capture *capture, struct captured *packet)
{
	struct pcap_pkthdr *header;
	const __u8 *data;
	int got = library.pcap_next_ex(capture->pcap, &header, &data);

	if (got == PCAP_ERROR_BREAK || got == 0)
		return 0;
	if (got < 0) {
		snprintf(capture->words, sizeof(capture->words), "%s", library.pcap_geterr(capture->pcap));
		return -EIO;
	}
	packet->frame = data;
	packet->length = header->caplen;
	packet->original = header->len > header->caplen ? header->len : header->caplen;
	packet->time_ns = header->ts.tv_sec * 1000000000ULL + header->ts.tv_usec; /* nanoseconds, as asked for */
	if (capture->link_type == DLT_EN10MB)
		return 1;
	return to_ethernet(capture, packet) ? -ENOMEM : 1;
}

const char *capture_words(struct capture *capture)
{
	return capture->words;
}

int capture_rewind(struct capture *capture)
{
	library.pcap_close(capture->pcap);
	capture->pcap = NULL;
	return start(capture, capture->words, sizeof(capture->words));
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->pcap)
		library.pcap_close(capture->pcap);
	if (capture->file)
		fclose(capture->file);
	free(capture->buffer);
	free(capture);
}
