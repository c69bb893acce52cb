/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JA4: the examples of its technical description (FoxIO-LLC/ja4), and what is published for the captures that go with
 * it, read by the parser that the program at TC ingress is made of.
 */
#include <pcap/pcap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/ja4.h"

#define LIST_MOST 64

struct client {
	__u16 version;
	__u16 ciphers[LIST_MOST], extensions[LIST_MOST], algorithms[LIST_MOST]; /* 0xffff ends one */
	const char *protocol;
};

/* The example of the description: Chrome, in the order in which it sent them, with GREASE as it sends it. */
static const struct client chrome = {
	0x0304,
	{0x7a7a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
	 0x002f, 0x0035, 0xffff},
	{0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
	 0x000b, 0x000a, 0x0015, 0xeaea, 0xffff},
	{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0xffff},
	"h2",
};

static __u16 take_list(__u16 *to, const __u16 *from)
{
	__u16 count = 0;

	for (; from[count] != 0xffff; count++)
		to[count] = from[count];
	return count;
}

static void see(const struct client *client, struct sighting *sighting)
{
	memset(sighting, 0xa5, sizeof(*sighting)); /* of a former one: nobody reads it */
	sighting->version = client->version;
	sighting->cipher_count = take_list(sighting->cipher, client->ciphers);
	sighting->extension_count = take_list(sighting->extension, client->extensions);
	sighting->algorithm_count = take_list(sighting->algorithm, client->algorithms);
	sighting->named = 0;
	for (__u16 i = 0; i < sighting->extension_count; i++)
		sighting->named |= sighting->extension[i] == EXTENSION_SNI;
	sighting->offers = client->protocol != NULL;
	sighting->alpn[0] = client->protocol ? (__u8)client->protocol[0] : 0;
	sighting->alpn[1] = client->protocol ? (__u8)client->protocol[strlen(client->protocol) - 1] : 0;
}

static void is(const struct sighting *sighting, const char *wanted)
{
	char text[JA4_TEXT];

	assert_string_equal(ja4_text(sighting, text), wanted);
	assert_null(ja4_trouble(text));
}

static void test_description(void **state)
{
	struct client client = chrome;
	struct sighting sighting;

	(void)state;
	see(&client, &sighting);
	is(&sighting, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	sighting.algorithm_count = 0; /* "If there are no signature algorithms ..." */
	is(&sighting, "t13d1516h2_8daaf6152771_6d807ffa2a79");
	sighting.cipher_count = 0;
	is(&sighting, "t13d0016h2_000000000000_6d807ffa2a79");
	sighting.extension_count = 0;
	sighting.named = 0;
	is(&sighting, "t13i0000h2_000000000000_000000000000");
}

static void test_protocols(void **state)
{
	static const struct {
		const char *protocol, *wanted;
	} rows[] = {
		{"h2", "h2"},
		{"http/1.1", "h1"},
		{"x", "xx"},
		{"\xab", "ab"},
		{"\x20", "20"},
		{"\xab\xcd", "ad"},
		{"\x20\x61", "21"},
		{"\x30\xab", "3b"},
		{"\x61\x20", "60"},
		{"\x30\x31\xab\xcd", "3d"},
		{"\x30\xab\xcd\x31", "01"},
		{NULL, "00"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct client client = chrome;
		struct sighting sighting;
		char text[JA4_TEXT];

		client.protocol = rows[i].protocol;
		see(&client, &sighting);
		assert_memory_equal(ja4_text(&sighting, text) + 8, rows[i].wanted, 2);
	}
}

static void test_versions(void **state)
{
	static const struct {
		__u16 version;
		const char *wanted;
	} rows[] = {{0x0304, "13"}, {0x0303, "12"}, {0x0302, "11"}, {0x0301, "10"},
		    {0x0300, "s3"}, {0x0002, "s2"}, {0x7f1c, "00"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct client client = chrome;
		struct sighting sighting;
		char text[JA4_TEXT];

		client.version = rows[i].version;
		see(&client, &sighting);
		assert_memory_equal(ja4_text(&sighting, text) + 1, rows[i].wanted, 2);
	}
}

static void test_counts_end_at_99(void **state)
{
	struct client client = chrome;
	struct sighting sighting;
	char text[JA4_TEXT];

	(void)state;
	see(&client, &sighting);
	for (sighting.cipher_count = 0; sighting.cipher_count < 120; sighting.cipher_count++)
		sighting.cipher[sighting.cipher_count] = sighting.cipher_count;
	assert_memory_equal(ja4_text(&sighting, text), "t13d9916h2", 10);
}

/* Order and GREASE do not make another client; all that JA4 depends on does. */
static void test_number(void **state)
{
	struct sighting one, other;
	__u64 number;

	(void)state;
	see(&chrome, &one);
	number = sighting_number(&one);
	see(&chrome, &other);
	for (int i = 0; i < 8; i++) {
		__u16 swap = other.cipher[i];

		other.cipher[i] = other.cipher[15 - i];
		other.cipher[15 - i] = swap;
		swap = other.extension[i];
		other.extension[i] = other.extension[17 - i];
		other.extension[17 - i] = swap;
	}
	other.cipher[15] = 0x2a2a; /* where 7a7a went */
	assert_true(number == sighting_number(&other));
	for (int what = 0; what < 10; what++) {
		see(&chrome, &other);
		other.version -= what == 0;
		other.named ^= what == 1;
		other.offers ^= what == 2;
		other.alpn[0] ^= what == 3;
		other.alpn[1] ^= what == 4;
		other.cipher[3] ^= what == 5;
		other.extension[3] ^= what == 6;
		other.algorithm[3] ^= what == 7;
		if (what == 8) { /* the order of preference */
			other.algorithm[0] = one.algorithm[1];
			other.algorithm[1] = one.algorithm[0];
		}
		if (what == 9) { /* a cipher is no extension */
			other.cipher[1] = one.extension[1];
			other.extension[1] = one.cipher[1];
		}
		assert_true(number != sighting_number(&other));
	}
}

static void test_policy_text(void **state)
{
	static const char *const wrong[] = {
		"",
		"x",
		"t13d1516h2",
		"t13d1516h2_8daaf6152771",
		"t13d1516h2_8daaf6152771_e5627efa2ab",
		"t13d1516h2_8daaf6152771_e5627efa2ab1 ",
		"t13d1516h2-8daaf6152771-e5627efa2ab1",
		"q13d1516h2_8daaf6152771_e5627efa2ab1",
		"d13d1516h2_8daaf6152771_e5627efa2ab1",
		"t14d1516h2_8daaf6152771_e5627efa2ab1",
		"t13x1516h2_8daaf6152771_e5627efa2ab1",
		"t13d15a6h2_8daaf6152771_e5627efa2ab1",
		"t13d1516h-_8daaf6152771_e5627efa2ab1",
		"t13d1516h2_8DAAF6152771_e5627efa2ab1",
		"t13d1516h2_8daaf615277g_e5627efa2ab1",
		"t13d1516h2_8daaf6152771_e5627efa2abz",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_non_null(ja4_trouble(wrong[i]));
	assert_null(ja4_trouble("t00i0000AB_000000000000_000000000000"));
}

/* ---- captures ---- */

#define CONNECTIONS 4096

struct capture {
	const char *name;
	struct {
		unsigned port; /* of the client; 0: any */
		const char *ja4;
	} wanted[8];
};

/* As published with the captures (python/test/testdata and rust/ja4/src/snapshots of FoxIO-LLC/ja4). */
static const struct capture captures[] = {
	{"ja4-tls-sni.pcapng",
	 {{50112, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
	  {50122, "t13d1516h1_8daaf6152771_e5627efa2ab1"},
	  {50123, "t13d151400_8daaf6152771_de4a06bb82e3"},
	  {50153, "t13d1517h1_8daaf6152771_6cdcb247c39b"}}},
	{"ja4-tls-handshake.pcapng",
	 {{50122, "t13d1516h1_8daaf6152771_e5627efa2ab1"},
	  {50157, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
	  {50153, "t13d1517h1_8daaf6152771_6cdcb247c39b"}}},
	/* Zeek's and Suricata's captures: as their own hellos say, calculated apart from this program */
	{"zeek-chrome-1250-tls-x25519-kyber.pcap",
	 {{13783, "t13d1516h2_8daaf6152771_02713d6af862"}}}, /* two segments */
	{"zeek-tls13-ech.pcap", {{51066, "t13d1517h2_8daaf6152771_b1ff8ab2d16f"}}},
	{"sv-tls-client-hello-frag-mtu300.pcap",
	 {{38576, "t12d8008h2_9cedc1f1428b_046e095b7c4a"}}}, /* cut at 300 bytes */
	{"ppp-tls2.pcap",
	 {{49637, "t13d431000_97f8c77001aa_5ac7197df9d2"},
	  {49734, "t12d210600_893976a58eef_7cbcca1da025"},
	  {49747, "t13d1615h2_46e7e9700bed_45f260be83e2"}}},
};

struct stream {	    /* what a client has sent, from the first byte of a hello on */
	__u32 next; /* sequence number */
	size_t have;
	__u8 data[FIRST_BYTES];
};

static struct stream *streams[65536]; /* by the client's port; one server each in these captures */

/* Of an Ethernet frame with IPv4 or IPv6 and TCP: its payload, or 0. */
static size_t payload_of(const __u8 *frame, size_t length, unsigned *port, __u32 *sequence, const __u8 **payload)
{
	size_t at = 14, end;
	bool v4;

	if (length < 54)
		return 0;
	v4 = frame[12] == 0x08 && frame[13] == 0x00;
	if (!v4 && (frame[12] != 0x86 || frame[13] != 0xdd))
		return 0;
	if (frame[v4 ? 23 : 20] != 6)
		return 0;
	end = 14 + (v4 ? (size_t)(frame[16] << 8 | frame[17]) : (size_t)(frame[18] << 8 | frame[19]) + 40);
	at += v4 ? (size_t)(frame[14] & 15) * 4 : 40;
	if (end > length || at + 20 > end || at + (size_t)(frame[at + 12] >> 4) * 4 > end)
		return 0;
	*port = (unsigned)(frame[at] << 8 | frame[at + 1]);
	*sequence = (__u32)frame[at + 4] << 24 | (__u32)frame[at + 5] << 16 | (__u32)frame[at + 6] << 8 | frame[at + 7];
	at += (size_t)(frame[at + 12] >> 4) * 4;
	*payload = frame + at;
	return end - at;
}

/* The JA4 of the client at this port when its hello is whole now. */
static bool gather(unsigned port, __u32 sequence, const __u8 *payload, size_t size, char text[JA4_TEXT])
{
	static struct first_bytes bytes;
	struct stream *stream = streams[port];
	struct sighting sighting;
	struct hello hello = {};

	if (!stream) {
		if (size < 3 || payload[0] != 22 || payload[1] != 3)
			return false;
		stream = streams[port] = calloc(1, sizeof(*stream));
		assert_non_null(stream);
		stream->next = sequence;
	}
	if (sequence != stream->next || stream->have + size > sizeof(stream->data))
		return false;
	memcpy(stream->data + stream->have, payload, size);
	stream->have += size;
	stream->next += (__u32)size;
	memcpy(bytes.byte, stream->data, stream->have);
	if (hello_read(&bytes, (__u32)stream->have, &hello) != HELLO_WHOLE || !hello_sight(&bytes, &hello, &sighting))
		return false;
	ja4_text(&sighting, text);
	return true;
}

/* How many clients of the capture have one that is wanted; every wanted one has to be there. */
static void read_capture(const char *path, const struct capture *capture)
{
	char error[PCAP_ERRBUF_SIZE], text[JA4_TEXT];
	pcap_t *pcap = pcap_open_offline(path, error);
	struct pcap_pkthdr *header;
	const __u8 *frame, *payload;
	bool seen[8] = {};
	__u32 sequence;
	unsigned port;

	assert_non_null(pcap);
	while (pcap_next_ex(pcap, &header, &frame) == 1) {
		size_t size = payload_of(frame, header->caplen, &port, &sequence, &payload);

		if (!size || !gather(port, sequence, payload, size, text))
			continue;
		for (int i = 0; i < 8 && capture->wanted[i].ja4; i++) {
			if (capture->wanted[i].port && capture->wanted[i].port != port)
				continue;
			assert_string_equal(text, capture->wanted[i].ja4);
			seen[i] = true;
		}
	}
	for (int i = 0; i < 8 && capture->wanted[i].ja4; i++)
		assert_true(seen[i]);
	pcap_close(pcap);
	for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
		free(streams[i]);
		streams[i] = NULL;
	}
}

static void test_captures(void **state)
{
	const char *data = getenv("BULWARK_DATA");
	char path[512];

	(void)state;
	data = data ? data : "../shared/data";
	snprintf(path, sizeof(path), "%s/pcaps", data);
	if (access(path, R_OK)) {
		print_message("no %s: real captures are not tried\n", path);
		skip();
	}
	for (size_t i = 0; i < sizeof(captures) / sizeof(*captures); i++) {
		snprintf(path, sizeof(path), "%s/pcaps/%s", data, captures[i].name);
		read_capture(path, &captures[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_description), cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_versions),    cmocka_unit_test(test_counts_end_at_99),
		cmocka_unit_test(test_number),	    cmocka_unit_test(test_policy_text),
		cmocka_unit_test(test_captures),
	};

	return cmocka_run_group_tests_name("ja4", tests, NULL, NULL);
}
