/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Feeds: every format, what is refused and in which words, files that are none, and real feeds where there are some. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../userspace/feed.h"

static char directory[] = "/tmp/bulwark-test-feed-XXXXXX";
static char path[256];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/feed", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static void write_feed(const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(length, fwrite(text, 1, length, file));
	assert_int_equal(0, fclose(file));
}

static int read_feed(const char *name, enum feed_format format, struct prefixes *prefixes, struct report *report)
{
	const struct list list = {
		.name = "test", .feed = (char *)name, .format = format, .feed_at = {.file = "policy.yaml", .line = 7}};

	return feed_read(&list, 5, prefixes, report);
}

/* "192.0.2.0/24 2001:db8::/32 ": IPv4 first, each family in the order of the feed. */
static void print_prefixes(const struct prefixes *prefixes, char *out, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	size_t used = 0;

	out[0] = 0;
	for (size_t i = 0; i < prefixes->v4_count; i++) {
		__u32 network = htonl(prefixes->v4[i].address);

		assert_int_equal(5, prefixes->v4[i].list);
		inet_ntop(AF_INET, &network, address, sizeof(address));
		used += (size_t)snprintf(out + used, size - used, "%s/%u ", address, prefixes->v4[i].length);
		assert_true(used < size);
	}
	for (size_t i = 0; i < prefixes->v6_count; i++) {
		__u64 halves[2] = {htobe64(prefixes->v6[i].high), htobe64(prefixes->v6[i].low)};

		assert_int_equal(5, prefixes->v6[i].list);
		inet_ntop(AF_INET6, halves, address, sizeof(address));
		used += (size_t)snprintf(out + used, size - used, "%s/%u ", address, prefixes->v6[i].length);
		assert_true(used < size);
	}
}

/* ---- what is read ---- */

struct reading {
	const char *what;
	enum feed_format format;
	const char *text, *prefixes;
};

static const struct reading readings[] = {
	{"netset", FEED_AUTO, "# header\n#\n1.10.16.0/20\n1.19.0.0/16\n77.90.185.20\n",
	 "1.10.16.0/20 1.19.0.0/16 77.90.185.20/32 "},
	{"ipsum", FEED_AUTO, "77.90.185.20\t9\n77.239.124.102\t9\n", "77.90.185.20/32 77.239.124.102/32 "},
	{"Spamhaus DROP", FEED_AUTO, "; Spamhaus DROP List\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16;SBL1\n",
	 "1.10.16.0/20 1.19.0.0/16 "},
	{"CRLF, blank lines, indentation, trailing comments, no end of line", FEED_AUTO,
	 "\r\n\r\n  192.0.2.1 # one\r\n\t2001:db8::/32\r\n \t \r\n198.51.100.0/24",
	 "192.0.2.1/32 198.51.100.0/24 2001:db8::/32 "},
	{"byte order mark", FEED_AUTO, "\xef\xbb\xbf# list\n192.0.2.1\n", "192.0.2.1/32 "},
	{"byte order mark before the first address", FEED_AUTO,
	 "\xef\xbb\xbf"
	 "192.0.2.1\n",
	 "192.0.2.1/32 "},
	{"host bits", FEED_AUTO, "192.0.2.77/24\n2001:db8::1/32\n", "192.0.2.0/24 2001:db8::/32 "},
	{"edges", FEED_AUTO,
	 "0.0.0.0\n255.255.255.255\n128.0.0.0/1\n::\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n8000::/1\n",
	 "0.0.0.0/32 255.255.255.255/32 128.0.0.0/1 ::/128 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 8000::/1 "},
	{"IPv6 spellings", FEED_AUTO,
	 "2001:DB8:0:0:0:0:0:1\n1::\n::1\n1:2:3:4:5:6:7::\n::2:3:4:5:6:7:8\n64:ff9b::192.0.2.1\n"
	 "1:2:3:4:5:6:192.0.2.1\n",
	 "2001:db8::1/128 1::/128 ::1/128 1:2:3:4:5:6:7:0/128 0:2:3:4:5:6:7:8/128 64:ff9b::c000:201/128 "
	 "1:2:3:4:5:6:c000:201/128 "},
	{"IPv4 in the clothes of IPv6", FEED_AUTO, "::ffff:192.0.2.1\n::ffff:198.51.100.0/120\n",
	 "192.0.2.1/32 198.51.100.0/24 "},
	{"range that is a prefix", FEED_AUTO, "192.0.2.0-192.0.2.255\n", "192.0.2.0/24 "},
	{"range that is not", FEED_AUTO, "192.0.2.1 - 192.0.2.6\n",
	 "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32 "},
	{"range of one", FEED_AUTO, "192.0.2.1-192.0.2.1\n", "192.0.2.1/32 "},
	{"range up to the last", FEED_AUTO, "255.255.255.254-255.255.255.255\n::fffe-::ffff\n",
	 "255.255.255.254/31 ::fffe/127 "},
	{"range over the middle of IPv6", FEED_AUTO,
	 "2001:db8::ffff:ffff:ffff:ffff-2001:db8:0:1::\n7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff-8000::\n",
	 "2001:db8::ffff:ffff:ffff:ffff/128 2001:db8:0:1::/128 7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 "
	 "8000::/128 "},
	{"duplicates stay", FEED_AUTO, "192.0.2.1\n192.0.2.1\n", "192.0.2.1/32 192.0.2.1/32 "},
	{"Spamhaus JSON lines", FEED_AUTO,
	 "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n"
	 "{\"rir\" : \"apnic\", \"n\":[1,{\"a\":null}], \"cidr\" : \"2001:db8::/32\" }\r\n\n"
	 "{\"type\":\"metadata\",\"timestamp\":1784798042,\"size\":101866,\"records\":2,\"copyright\":\"(c) "
	 "\\\"x\\\"\"}\n",
	 "1.10.16.0/20 2001:db8::/32 "},
	{"ipset save", FEED_AUTO,
	 "create bad hash:net family inet hashsize 1024 maxelem 65536 timeout 600 comment\n"
	 "add bad 203.0.113.0/24 timeout 599 comment \"nomatch 1.2.3.4\"\n"
	 "add bad 198.51.100.7\nadd bad 192.0.2.0-192.0.2.1\nadd bad6 2001:db8::/32\n",
	 "203.0.113.0/24 198.51.100.7/32 192.0.2.0/31 2001:db8::/32 "},
	{"nft JSON, five shapes", FEED_AUTO,
	 "{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\", \"json_schema_version\": 1}}, {\"set\": {\"family\": "
	 "\"inet\","
	 "\"name\": \"s\", \"table\": \"t\", \"type\": \"ipv4_addr\", \"handle\": 2, \"flags\": [\"interval\"], "
	 "\"elem\": ["
	 "\"192.0.2.1\", {\"range\": [\"192.0.2.4\", \"192.0.2.7\"]}, {\"prefix\": {\"addr\": \"198.51.100.0\", "
	 "\"len\": 24}},"
	 "{\"elem\": {\"val\": \"203.0.113.9\", \"timeout\": 600, \"expires\": 599, \"comment\": \"x\"}},"
	 "{\"elem\": {\"val\": {\"prefix\": {\"addr\": \"2001:db8::\", \"len\": 32}}, \"timeout\": 600}}]}}]}",
	 "192.0.2.1/32 192.0.2.4/30 198.51.100.0/24 203.0.113.9/32 2001:db8::/32 "},
	{"nft JSON over lines, several sets", FEED_AUTO,
	 "{\n  \"nftables\": [\n {\"set\": {\"elem\": [\n\"192.0.2.1\"\n]}},\n{\"set\": {\"name\": \"empty\"}},"
	 "{\"element\": {\"elem\": [{\"elem\": {\"val\": {\"range\": [\"::1\", \"::1\"]}}}]}}]\n}\n",
	 "192.0.2.1/32 ::1/128 "},
	{"format given, not detected", FEED_IPSET, "# nothing to go by\nadd x 192.0.2.1\n", "192.0.2.1/32 "},
};

static void reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(readings) / sizeof(*readings); i++) {
		const struct reading *reading = &readings[i];
		struct prefixes prefixes = {0};
		struct report report = {0};
		char text[4096];

		write_feed(reading->text, strlen(reading->text));
		if (read_feed(path, reading->format, &prefixes, &report)) {
			report_print(&report, stderr);
			fail_msg("%s: refused", reading->what);
		}
		print_prefixes(&prefixes, text, sizeof(text));
		if (strcmp(text, reading->prefixes))
			fail_msg("%s: read as %s", reading->what, text);
		prefixes_free(&prefixes);
		report_free(&report);
	}
}

/* ---- what is refused ---- */

struct refusal {
	enum feed_format format;
	const char *text;
	unsigned line, column; /* of the first finding; 0: at the policy's line */
	const char *words;     /* a part of it */
};

static const struct refusal refusals[] = {
	{FEED_AUTO, "", 0, 0, "holds no address"},
	{FEED_AUTO, "# only comments\n\n;\n", 0, 0, "holds no address"},
	{FEED_AUTO, "192.0.2.1\n192.0.2.256\n", 2, 1, "'192.0.2.256': not an address"},
	{FEED_AUTO, "192.0.2.1\n  192.0.2\n", 2, 3, "'192.0.2': not an address"},
	{FEED_AUTO, "192.0.2.010\n", 1, 1, "'192.0.2.010': not an address"},
	{FEED_AUTO, "192.0.2.1.5\n", 1, 1, "not an address"},
	{FEED_AUTO, "0x7f.0.0.1\n", 1, 1, "not an address"},
	{FEED_AUTO, "2130706433\n", 1, 1, "not an address"},
	{FEED_AUTO, "192.0.2.1x\n", 1, 1, "'192.0.2.1x': not an address"},
	{FEED_AUTO, "example.com\n", 1, 1, "'example.com': not an address"},
	{FEED_AUTO, "192.0.2.1,5\n", 1, 1, "not an address"},
	{FEED_AUTO, "192.0.2.0/33\n", 1, 1, "0 to 32"},
	{FEED_AUTO, "192.0.2.0/024\n", 1, 1, "0 to 32"},
	{FEED_AUTO, "192.0.2.0/\n", 1, 1, "0 to 32"},
	{FEED_AUTO, "192.0.2.0/255.255.255.0\n", 1, 1, "0 to 32"},
	{FEED_AUTO, "192.0.2.0/24/24\n", 1, 1, "not an address"},
	{FEED_AUTO, "2001:db8::/129\n", 1, 1, "0 to 128"},
	{FEED_AUTO, "2001:db8::1::2\n", 1, 1, "not an address"},
	{FEED_AUTO, "2001:db8\n", 1, 1, "not an address"},
	{FEED_AUTO, "1:2:3:4:5:6:7:8:9\n", 1, 1, "not an address"},
	{FEED_AUTO, "1:2:3:4:5:6:7:8::\n", 1, 1, "not an address"},
	{FEED_AUTO, "1:0.0.0.20::f\n", 1, 1, "not an address"},
	{FEED_AUTO, "1:2:3:4:5:192.0.2.1::\n", 1, 1, "not an address"},
	{FEED_AUTO, "1::2:3:4:5:6:7:8\n", 1, 1, "not an address"},
	{FEED_AUTO, "2001:db8::12345\n", 1, 1, "not an address"},
	{FEED_AUTO, "2001:db8:::1\n", 1, 1, "not an address"},
	{FEED_AUTO, ":1:2:3:4:5:6:7\n", 1, 1, "not an address"},
	{FEED_AUTO, "fe80::1%eth0\n", 1, 1, "not an address"},
	{FEED_AUTO, "1:2:3:4:5:6:7:192.0.2.1\n", 1, 1, "not an address"},
	{FEED_AUTO, "0.0.0.0/0\n", 1, 1, "the whole address space"},
	{FEED_AUTO, "# x\n::/0\n", 2, 1, "the whole address space"},
	{FEED_AUTO, "::ffff:0.0.0.0/96\n", 1, 1, "the whole address space"},
	{FEED_AUTO, "0.0.0.0-255.255.255.255\n", 1, 1, "the whole address space"},
	{FEED_AUTO, "192.0.2.9-192.0.2.1\n", 1, 1, "ends before it starts"},
	{FEED_AUTO, "192.0.2.9-2001:db8::\n", 1, 1, "from one address family to the other"},
	{FEED_AUTO, "192.0.2.9-\n", 1, 1, "the end of the range"},
	{FEED_AUTO, "192.0.2.9-192.0.2.10-192.0.2.11\n", 1, 1, "not an address"},
	{FEED_AUTO, "192.0.2.1\n\x1b[2Jsneaky\n", 2, 1, "'?[2Jsneaky': not an address"},
	{FEED_AUTO, "<!DOCTYPE html>\n<html>", 0, 0, "web page"},
	{FEED_AUTO, "\n\n<?xml", 0, 0, "web page"},
	{FEED_AUTO, "\x1f\x8b\x08\x01\x01", 0, 0, "gzip"},
	{FEED_AUTO,
	 "\xff\xfe"
	 "1",
	 0, 0, "UTF-16"},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0/24\"}\n{\"cidr\":\"192.0.2.0/24\"\n", 2, 23, "ends here"},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0/24\"}x\n", 1, 24, "something behind the object"},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0/33\"}\n", 1, 10, "0 to 32"},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0/24\",\"cidr\":\"192.0.2.0/24\"}\n", 1, 31, "stands twice"},
	{FEED_AUTO, "{\"cidr\":7}\n", 1, 9, "not JSON as expected"},
	{FEED_AUTO, "{\"sblid\":\"SBL1\"}\n", 1, 1, "without \"cidr\""},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0\\/24\"}\n", 1, 10, "not an address"},
	{FEED_AUTO, "{\"cidr\":\"192.0.2.0/24\n", 1, 10, "does not end"},
	{FEED_NDJSON, "192.0.2.1\n", 1, 1, "not JSON"},
	{FEED_AUTO, "create x hash:net\nadd x 192.0.2.0/24\nadd x 192.0.2.1 nomatch\n", 3, 7, "nomatch"},
	{FEED_AUTO, "create x hash:ip,port\nadd x 192.0.2.1,tcp:80\n", 2, 7, "a set of more than addresses"},
	{FEED_AUTO, "create x hash:net\nadd x\n", 2, 6, "not an address"},
	{FEED_AUTO, "create x hash:net\ndel x 192.0.2.1\n", 2, 1, "ipset save"},
	{FEED_AUTO, "create x hash:net family inet\n", 0, 0, "holds no address"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [\n\"192.0.2.1\",\n\"192.0.2.300\"]}}]}", 3, 2,
	 "'192.0.2.300': not an address"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [{\"prefix\": {\"addr\": \"192.0.2.0\", \"len\": 33}}]}}]}",
	 1, 54, "the length of the prefix"},
	{FEED_AUTO,
	 "{\"nftables\": [{\"set\": {\"elem\": [{\"prefix\": {\"addr\": \"192.0.2.0/24\", \"len\": 24}}]}}]}", 1, 54,
	 "not an address"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [{\"prefix\": {\"addr\": \"0.0.0.0\", \"len\": 0}}]}}]}", 1,
	 54, "the whole address space"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [{\"concat\": [\"192.0.2.0\", 80]}]}}]}", 1, 35,
	 "not an element"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [\"192.0.2.0\" \"192.0.2.1\"]}}]}", 1, 45, "not JSON"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"elem\": [\"192.0.2.0\"]}}]", 1, 48, "ends here"},
	{FEED_AUTO, "{\"nftables\": [{\"set\": {\"name\": \"s\"}}]}", 0, 0, "holds no address"},
};

static void refuses(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct refusal *refusal = &refusals[i];
		struct prefixes prefixes = {0};
		struct report report = {0};
		const struct finding *finding;

		assert_int_equal(0, prefixes_add4(&prefixes, 0xc0000200, 24, 1));
		write_feed(refusal->text, strlen(refusal->text));
		if (read_feed(path, refusal->format, &prefixes, &report) >= 0 || !report.errors)
			fail_msg("accepted: %s", refusal->text);
		assert_int_equal(1, prefixes.v4_count);
		assert_int_equal(0, prefixes.v6_count);
		finding = &report.findings[0];
		if (!strstr(finding->text, refusal->words) || finding->at.line != (refusal->line ? refusal->line : 7) ||
		    finding->at.column != refusal->column) {
			print_error("%s: said %s:%u:%u: %s\n", refusal->text, finding->at.file, finding->at.line,
				    finding->at.column, finding->text);
			wrong++;
		}
		prefixes_free(&prefixes);
		report_free(&report);
	}
	assert_int_equal(0, wrong);
}

static void tells_ten_and_counts_the_rest(void **state)
{
	struct prefixes prefixes = {0};
	struct report report = {0};
	char text[4096] = "192.0.2.1\n";

	(void)state;
	for (unsigned i = 0; i < 25; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "bad%u\n192.0.2.%u\n", i, i);
	write_feed(text, strlen(text));
	assert_int_equal(-EINVAL, read_feed(path, FEED_AUTO, &prefixes, &report));
	assert_int_equal(11, report.count);
	assert_string_equal("'bad9': not an address, prefix or range", report.findings[9].text);
	assert_int_equal(20, report.findings[9].at.line);
	assert_non_null(strstr(report.findings[10].text, "15 more lines"));
	assert_int_equal(0, prefixes.v4_count);
	prefixes_free(&prefixes);
	report_free(&report);
}

static void notes_host_bits(void **state)
{
	struct prefixes prefixes = {0};
	struct report report = {0};

	(void)state;
	write_feed("192.0.2.0/24\n192.0.2.1/24\n192.0.2.2/24\n", 39);
	assert_int_equal(0, read_feed(path, FEED_AUTO, &prefixes, &report));
	assert_int_equal(1, report.count);
	assert_int_equal(SEVERITY_NOTE, report.findings[0].severity);
	assert_int_equal(2, report.findings[0].at.line);
	assert_non_null(strstr(report.findings[0].text, "2 prefixes"));
	prefixes_free(&prefixes);
	report_free(&report);
}

static void warns_of_missing_records(void **state)
{
	static const char text[] = "{\"cidr\":\"192.0.2.0/24\"}\n{\"type\":\"metadata\",\"records\":900}\n";
	struct prefixes prefixes = {0};
	struct report report = {0};

	(void)state;
	write_feed(text, sizeof(text) - 1);
	assert_int_equal(0, read_feed(path, FEED_AUTO, &prefixes, &report));
	assert_int_equal(1, report.count);
	assert_int_equal(SEVERITY_WARNING, report.findings[0].severity);
	assert_non_null(strstr(report.findings[0].text, "900 records, but holds 1"));
	prefixes_free(&prefixes);
	report_free(&report);
}

/* Lines on both sides of the ends of the reader's chunks, and one that is longer than a chunk. */
static void long_files(void **state)
{
	const size_t size = 5 << 20;
	char *text = malloc(size);
	struct prefixes prefixes = {0};
	struct report report = {0};
	size_t used = 0;
	unsigned count = 0;

	(void)state;
	assert_non_null(text);
	for (; used < size - 64; count++)
		used += (size_t)sprintf(text + used, "%u.%u.%u.%u%s", 1 + count % 200, count >> 16 & 255,
					count >> 8 & 255, count & 255, count % 7 ? "\n" : " # remark\r\n");
	write_feed(text, used);
	assert_int_equal(0, read_feed(path, FEED_AUTO, &prefixes, &report));
	assert_int_equal(count, prefixes.v4_count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal((1 + i % 200) << 24 | (i & 0xffffff), prefixes.v4[i].address);
	prefixes_free(&prefixes);

	memset(text, '#', size);
	write_feed(text, size);
	assert_true(read_feed(path, FEED_AUTO, &prefixes, &report) < 0);
	memset(text + 10, '7', 70000);
	memcpy(text, "192.0.2.1\n", 10);
	text[70010] = '\n';
	memset(text + 70011, '#', 5000);
	write_feed(text, 75000);
	assert_true(read_feed(path, FEED_AUTO, &prefixes, &report) < 0);
	assert_int_equal(0, prefixes.v4_count);
	prefixes_free(&prefixes);
	report_free(&report);
	free(text);
}

/* Nothing but a regular file is opened, and nothing blocks. */
static void only_files(void **state)
{
	static const struct {
		const char *path, *words;
	} others[] = {
		{"/", "is a directory"},
		{"/dev/null", "is a device"},
		{"/dev/zero", "is a device"},
		{"/proc/self/maps", "is made by the kernel"},
		{"/nonexistent/feed", "No such file"},
	};
	struct prefixes prefixes = {0};
	struct report report = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_true(read_feed(others[i].path, FEED_AUTO, &prefixes, &report) < 0);
		assert_non_null(strstr(report.findings[i].text, others[i].words));
	}
	unlink(path);
	assert_int_equal(0, mkfifo(path, 0600));
	assert_int_equal(-EINVAL, read_feed(path, FEED_AUTO, &prefixes, &report));
	assert_non_null(strstr(report.findings[report.count - 1].text, "is a pipe"));
	unlink(path);
	assert_int_equal(0, symlink("/dev/zero", path));
	assert_int_equal(-EINVAL, read_feed(path, FEED_AUTO, &prefixes, &report));
	unlink(path);
	report_free(&report);
}

static void symlinks_to_files(void **state)
{
	struct prefixes prefixes = {0};
	struct report report = {0};
	char link[300];

	(void)state;
	snprintf(link, sizeof(link), "%s/link", directory);
	write_feed("192.0.2.1\n", 10);
	assert_int_equal(0, symlink("feed", link));
	assert_int_equal(0, read_feed(link, FEED_AUTO, &prefixes, &report));
	assert_int_equal(1, prefixes.v4_count);
	unlink(link);
	prefixes_free(&prefixes);
	report_free(&report);
}

static void too_large(void **state)
{
	struct prefixes prefixes = {0};
	struct report report = {0};

	(void)state;
	write_feed("192.0.2.1\n", 10);
	assert_int_equal(0, truncate(path, (off_t)FEED_BYTES_MAX + 1)); /* sparse */
	assert_int_equal(-EFBIG, read_feed(path, FEED_AUTO, &prefixes, &report));
	report_free(&report);
}

/* Bytes changed, cut and put twice, under the sanitizers: no crash, and nothing half-read. */
static void mangled(void **state)
{
	unsigned long long random = 88172645463325252ULL;

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		const char *text = readings[round % (sizeof(readings) / sizeof(*readings))].text;
		size_t length = strlen(text);
		struct prefixes prefixes = {0};
		struct report report = {0};
		char copy[2048];
		int err;

		assert_true(length < sizeof(copy));
		memcpy(copy, text, length);
		for (unsigned i = 0; i <= round % 4; i++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			copy[random % length] = (char)(random >> 32);
			if (random >> 60 == 0)
				length = 1 + (random >> 16) % length;
		}
		write_feed(copy, length);
		err = read_feed(path, FEED_AUTO, &prefixes, &report);
		assert_int_equal(err != 0, prefixes.v4_count + prefixes.v6_count == 0);
		assert_int_equal(err != 0, report.errors != 0);
		prefixes_free(&prefixes);
		report_free(&report);
	}
}

/* ---- real feeds ---- */

static void real_feeds(void **state)
{
	static const struct {
		const char *name;
		size_t v4, v6;
	} feeds[] = {
		{"bitwire-inbound-ipv6.txt", 0, 1117},
		{"bitwire-inbound-networks.txt", 213288, 0},
		{"country-us-ipv6.cidr", 0, 10009},
		{"firehol_level1-2021.netset", 2892, 0},
		{"ipsum-l3.txt", 14217, 0},
		{"spamhaus-drop-2024.txt", 989, 0},
		{"spamhaus-drop_v4.ndjson", 1670, 0},
		{"spamhaus-dropv6-2024.txt", 0, 51},
		{"torbulkexitlist", 1174, 0},
	};
	const char *data = getenv("BULWARK_DATA");
	char name[512];

	(void)state;
	data = data ? data : "../shared/data";
	snprintf(name, sizeof(name), "%s/feeds", data);
	if (access(name, R_OK)) {
		print_message("no %s: real feeds are not tried\n", name);
		skip();
	}
	for (size_t i = 0; i < sizeof(feeds) / sizeof(*feeds); i++) {
		struct prefixes prefixes = {0};
		struct report report = {0};

		snprintf(name, sizeof(name), "%s/feeds/%s", data, feeds[i].name);
		assert_int_equal(0, read_feed(name, FEED_AUTO, &prefixes, &report));
		assert_int_equal(feeds[i].v4, prefixes.v4_count);
		assert_int_equal(feeds[i].v6, prefixes.v6_count);
		assert_int_equal(0, report.count);
		prefixes_free(&prefixes);
		report_free(&report);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(tells_ten_and_counts_the_rest),
		cmocka_unit_test(notes_host_bits),
		cmocka_unit_test(warns_of_missing_records),
		cmocka_unit_test(long_files),
		cmocka_unit_test(only_files),
		cmocka_unit_test(symlinks_to_files),
		cmocka_unit_test(too_large),
		cmocka_unit_test(mangled),
		cmocka_unit_test(real_feeds),
	};

	return cmocka_run_group_tests_name("feed", tests, make_directory, remove_directory);
}
