/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opens a feed, finds out its format, reads it line by line, and says what is wrong with it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "feed_cache.h"
#include "feed_parse.h"
#include "remote.h"

#define BAD_TOLD 10
#define LINE_MAX_BYTES (64u << 10)
#define CHUNK (1u << 20)
#define VALUE_TEXT 64 /* so much of a bad value is shown */

/* ---- findings and prefixes ---- */

/* Hostile text fit for a terminal: printable, and not too long. */
static const char *printable(struct text text, char *buffer, size_t size)
{
	size_t length = (size_t)(text.end - text.at), shown = length < size - 4 ? length : size - 4;

	for (size_t i = 0; i < shown; i++)
		buffer[i] = isprint((unsigned char)text.at[i]) || text.at[i] == '\t' ? text.at[i] : '?';
	strcpy(buffer + shown, shown < length ? "..." : "");
	return buffer;
}

/* The line of `whole` that at stands in; asked for in order, so that no line is counted twice. */
static struct text line_of(struct feed *feed, const char *at)
{
	struct text line = {feed->whole.at, at};

	for (const char *c = feed->whole.at; c < at; c++) {
		if (*c != '\n')
			continue;
		feed->line++;
		line.at = c + 1;
	}
	feed->whole.at = line.at;
	while (line.end < feed->whole.end && *line.end != '\n' && *line.end != '\r')
		line.end++;
	return line;
}

void feed_bad(struct feed *feed, struct text line, struct text value, const char *problem)
{
	struct place place = {.file = feed->list->feed};
	char shown_line[256], shown_value[VALUE_TEXT];

	if (feed->bad++ >= BAD_TOLD)
		return;
	if (feed->whole.end)
		line = line_of(feed, value.at);
	place.line = feed->line;
	place.column = (unsigned)(value.at - line.at) + 1;
	place.width = (unsigned)(value.end - value.at);
	if ((size_t)(value.end - line.at) >= sizeof(shown_line) - 4) { /* a very long line: show the value alone */
		line.at = value.at;
		place.width = 0;
	}
	report_add(feed->report, SEVERITY_ERROR, &place, printable(line, shown_line, sizeof(shown_line)), "'%s': %s",
		   printable(value, shown_value, sizeof(shown_value)), problem);
}

static int add_prefix(struct feed *feed, bool v4, unsigned __int128 address, unsigned length)
{
	size_t count = feed->prefixes->v4_count - feed->v4_before + feed->prefixes->v6_count - feed->v6_before;

	if (count == FEED_PREFIXES_MAX)
		return -E2BIG;
	if (v4)
		return prefixes_add4(feed->prefixes, (__u32)address, length, feed->number);
	return prefixes_add6(feed->prefixes, (__u64)(address >> 64), (__u64)address, length, feed->number);
}

/* Trailing zero bits, at most bits of them. */
static unsigned zeros_at_end(unsigned __int128 word, unsigned bits)
{
	unsigned zeros = (__u64)word	       ? (unsigned)__builtin_ctzll((__u64)word)
			 : (__u64)(word >> 64) ? 64 + (unsigned)__builtin_ctzll((__u64)(word >> 64))
					       : 128;

	return zeros < bits ? zeros : bits;
}

/* The largest prefix that starts at first and does not go beyond last, again and again. */
static int add_range(struct feed *feed, const struct item *item)
{
	unsigned bits = item->v4 ? 32 : 128;
	unsigned __int128 first = item->first;

	for (;;) {
		unsigned zeros = zeros_at_end(first, bits);
		unsigned __int128 size_less_1;
		int err;

		for (;; zeros--) {
			size_less_1 = zeros == 128 ? ~(unsigned __int128)0 : ((unsigned __int128)1 << zeros) - 1;
			if (size_less_1 <= item->last - first)
				break;
		}
		err = add_prefix(feed, item->v4, first, bits - zeros);
		if (err || item->last - first == size_less_1)
			return err;
		first += size_less_1 + 1;
	}
}

static bool covers_everything(const struct item *item)
{
	unsigned __int128 last = item->v4 ? 0xffffffff : ~(unsigned __int128)0;

	return item->range ? !item->first && item->last == last : !item->length;
}

void feed_add(struct feed *feed, struct text line, struct text value, const struct item *item)
{
	unsigned __int128 network = item->first;
	unsigned bits = item->v4 ? 32 : 128;

	if (covers_everything(item)) {
		feed_bad(feed, line, value, "the whole address space: no feed may say that");
		return;
	}
	if (feed->err)
		return;
	if (item->range) {
		feed->err = add_range(feed, item);
		return;
	}
	network = network >> (bits - item->length) << (bits - item->length);
	if (network != item->first && !feed->host_bits++)
		feed->host_bits_line = feed->line;
	feed->err = add_prefix(feed, item->v4, network, item->length);
}

void feed_add_text(struct feed *feed, struct text line, struct text value)
{
	struct text rest = value;
	struct item item;
	const char *problem = item_parse(&rest, &item);

	if (!problem && rest.at < rest.end)
		problem = "not an address, prefix or range";
	if (problem)
		feed_bad(feed, line, value, problem);
	else
		feed_add(feed, line, value, &item);
}

/* ---- the file ---- */

/* Something is wrong with the file as a whole: told at the policy's line that names it. */
static int refuse(struct feed *feed, int err, const char *why)
{
	report_add(feed->report, SEVERITY_ERROR, &feed->list->feed_at, NULL, "feed '%s' %s", feed->list->feed, why);
	return err;
}

static const char *kind_of_file(mode_t mode)
{
	if (S_ISDIR(mode))
		return "is a directory, not a file";
	if (S_ISFIFO(mode))
		return "is a pipe, not a file";
	if (S_ISSOCK(mode))
		return "is a socket, not a file";
	return "is a device, not a file";
}

static int check_file(struct feed *feed, const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return refuse(feed, -EINVAL, kind_of_file(status->st_mode));
	if ((__u64)status->st_size > FEED_BYTES_MAX)
		return refuse(feed, -EFBIG, "is larger than 1 GiB");
	return 0;
}

static bool is_kernel_text(int fd)
{
	struct statfs status;

	return !fstatfs(fd, &status) && (status.f_type == PROC_SUPER_MAGIC || status.f_type == SYSFS_MAGIC);
}

static int cannot(struct feed *feed, int error)
{
	char why[128];

	snprintf(why, sizeof(why), "cannot be read: %s", strerror(error));
	return refuse(feed, -error, why);
}

/* A file descriptor of a regular file, or -errno. Looks before it opens: opening alone can have effects (a tape
 * rewinds, a watchdog starts), and again afterwards, for the path may have changed in between. */
static int open_feed(struct feed *feed, struct stat *status)
{
	char copy[REMOTE_PATH];
	const char *path = remote_file(feed->list->feed, copy);
	int fd, err;

	if (stat(path, status))
		return cannot(feed, errno);
	err = check_file(feed, status);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return cannot(feed, errno);
	err = fstat(fd, status) ? cannot(feed, errno) : check_file(feed, status);
	if (!err && is_kernel_text(fd))
		err = refuse(feed, -EINVAL, "is made by the kernel when it is read, not a file");
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Reads until the buffer is full or the file ends: the bytes read, or -errno. */
static ssize_t read_full(int fd, char *buffer, size_t size)
{
	size_t filled = 0;

	while (filled < size) {
		ssize_t bytes = read(fd, buffer + filled, size - filled);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0)
			return -errno;
		if (!bytes)
			break;
		filled += (size_t)bytes;
	}
	return (ssize_t)filled;
}

/* ---- what it is ---- */

/* Files that people put in the place of a feed by mistake. NULL: none of them. */
static const char *mistaken(struct text text)
{
	static const struct {
		const char *magic;
		unsigned size;
		const char *what;
	} known[] = {
		{"\x1f\x8b", 2, "is compressed (gzip): unpack it first"},
		{"\xfd"
		 "7zXZ",
		 5, "is compressed (xz): unpack it first"},
		{"\x28\xb5\x2f\xfd", 4, "is compressed (zstd): unpack it first"},
		{"BZh", 3, "is compressed (bzip2): unpack it first"},
		{"PK\x03\x04", 4, "is a zip archive: unpack it first"},
		{"\xff\xfe", 2, "is UTF-16 text: convert it to UTF-8"},
		{"\xfe\xff", 2, "is UTF-16 text: convert it to UTF-8"},
		{"<", 1, "is a web page or XML (perhaps an error page of its server), not a list"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if ((size_t)(text.end - text.at) >= known[i].size && !memcmp(text.at, known[i].magic, known[i].size))
			return known[i].what;
	}
	return memchr(text.at, 0, (size_t)(text.end - text.at)) ? "is a binary file, not a list" : NULL;
}

static void skip_mark(struct text *text)
{
	if (text->end - text->at >= 3 && !memcmp(text->at, "\xef\xbb\xbf", 3))
		text->at += 3;
}

/* The first line that says something. */
static struct text first_line(struct text text)
{
	struct text line = {text.end, text.end};

	while (text.at < text.end) {
		line.at = text.at;
		line.end = memchr(text.at, '\n', (size_t)(text.end - text.at));
		line.end = line.end ? line.end : text.end;
		text.at = line.end + (line.end < text.end);
		while (line.at < line.end && isspace((unsigned char)*line.at))
			line.at++;
		if (line.at < line.end && *line.at != '#' && *line.at != ';')
			return line;
	}
	return (struct text){text.end, text.end};
}

static enum feed_format detect(struct text start)
{
	struct text line = first_line(start), rest = line, word = next_word(&rest);

	if (text_is(word, "add") || text_is(word, "create"))
		return FEED_IPSET;
	if (line.at == line.end || *line.at != '{')
		return FEED_PLAIN;
	/* nft writes one object, in one line or many; NDJSON an object a line. */
	rest = (struct text){line.at + 1, start.end};
	while (rest.at < rest.end && isspace((unsigned char)*rest.at))
		rest.at++;
	if (rest.end - rest.at >= 10 && !memcmp(rest.at, "\"nftables\"", 10))
		return FEED_NFT_JSON;
	return FEED_NDJSON;
}

/* ---- reading ---- */

typedef void line_reader(struct feed *feed, struct text line);

static line_reader *reader_of(enum feed_format format)
{
	if (format == FEED_NDJSON)
		return feed_ndjson_line;
	return format == FEED_IPSET ? feed_ipset_line : feed_plain_line;
}

/* The lines of text; what is after the last end of line is left for the next time unless this is the end of the file.
 */
static void read_lines(struct feed *feed, line_reader *reader, struct text *text, bool last)
{
	while (text->at < text->end && !feed->err) {
		struct text line = *text;

		line.end = memchr(text->at, '\n', (size_t)(text->end - text->at));
		if (!line.end && !last)
			return;
		line.end = line.end ? line.end : text->end;
		text->at = line.end + (line.end < text->end);
		feed->line++;
		if (line.end > line.at && line.end[-1] == '\r')
			line.end--;
		if ((size_t)(line.end - line.at) > LINE_MAX_BYTES)
			feed_bad(feed, line, line, "a line of more than 64 KiB");
		else
			reader(feed, line);
	}
}

/* From a buffer that holds the first filled bytes on. Reads no more than a feed may have, however the file grows. */
static int read_by_lines(struct feed *feed, int fd, char *buffer, size_t filled, size_t skip, line_reader *reader)
{
	__u64 total = filled;

	for (;;) {
		struct text text = {buffer + skip, buffer + filled};
		ssize_t bytes;

		read_lines(feed, reader, &text, filled < CHUNK);
		if (feed->err || filled < CHUNK)
			return feed->err;
		if (total > FEED_BYTES_MAX)
			return refuse(feed, -EFBIG, "is larger than 1 GiB");
		if (text.at == buffer)
			return refuse(feed, -EINVAL, "has a line of more than 1 MiB");
		filled = (size_t)(text.end - text.at);
		memmove(buffer, text.at, filled);
		skip = 0;
		bytes = read_full(fd, buffer + filled, CHUNK - filled);
		if (bytes < 0)
			return cannot(feed, (int)-bytes);
		total += (size_t)bytes;
		filled += (size_t)bytes;
	}
}

static int read_whole(struct feed *feed, int fd, const char *start, size_t filled, size_t skip, size_t size)
{
	char *buffer = malloc(size + 1);
	ssize_t bytes;

	if (!buffer)
		return -ENOMEM;
	if (filled > size)
		filled = size;
	memcpy(buffer, start, filled);
	bytes = read_full(fd, buffer + filled, size + 1 - filled);
	if (bytes < 0) {
		free(buffer);
		return cannot(feed, (int)-bytes);
	}
	filled += (size_t)bytes;
	feed->line = 1;
	feed->whole = (struct text){buffer + skip, buffer + filled};
	feed_nft_json(feed, feed->whole);
	free(buffer);
	return feed->err;
}

static int read_open(struct feed *feed, int fd, char *buffer, const struct stat *status)
{
	ssize_t bytes = read_full(fd, buffer, CHUNK);
	enum feed_format format = feed->list->format;
	struct text start;
	const char *mistake;
	size_t skip;

	if (bytes < 0)
		return cannot(feed, (int)-bytes);
	start = (struct text){buffer, buffer + bytes};
	skip_mark(&start);
	mistake = mistaken((struct text){first_line(start).at, start.end});
	if (mistake)
		return refuse(feed, -EINVAL, mistake);
	skip = (size_t)(start.at - buffer);
	if (format == FEED_AUTO)
		format = detect(start);
	if (format == FEED_NFT_JSON)
		return read_whole(feed, fd, buffer, (size_t)bytes, skip, (size_t)status->st_size);
	return read_by_lines(feed, fd, buffer, (size_t)bytes, skip, reader_of(format));
}

/* ---- the verdict ---- */

static bool changed_meanwhile(int fd, const struct stat *before)
{
	struct stat after;

	return fstat(fd, &after) || after.st_size != before->st_size ||
	       after.st_mtim.tv_sec != before->st_mtim.tv_sec || after.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

static int judge(struct feed *feed, size_t count)
{
	struct place place = {.file = feed->list->feed, .line = feed->line};

	if (feed->bad > BAD_TOLD)
		report_add(feed->report, SEVERITY_ERROR, &place, NULL, "%zu more lines up to here are wrong",
			   feed->bad - BAD_TOLD);
	if (feed->bad)
		return -EINVAL;
	if (!count)
		return refuse(feed, -EINVAL, "holds no address: a feed that was emptied would protect nobody");
	place.line = feed->host_bits_line;
	if (feed->host_bits)
		report_add(feed->report, SEVERITY_NOTE, &place, NULL,
			   "%zu prefix%s of this feed %s bits set behind the length; the whole prefix is meant",
			   feed->host_bits, feed->host_bits == 1 ? "" : "es", feed->host_bits == 1 ? "has" : "have");
	if (feed->records && feed->records != count)
		report_add(feed->report, SEVERITY_WARNING, &feed->list->feed_at, NULL,
			   "feed '%s' says that it has %zu records, but holds %zu", feed->list->feed, feed->records,
			   count);
	return 0;
}

/* From the text, or as it was understood before, while the text is the same. */
static int read_text(struct feed *feed, int fd, char *buffer, const struct stat *status, struct feed_cache *cache)
{
	struct feed_facts facts;

	if (!feed_cache_find(cache, feed->list, fd, status, feed->number, feed->prefixes, &facts))
		return read_open(feed, fd, buffer, status);
	cache->path[0] = '\0'; /* is there */
	feed->host_bits = facts.host_bits;
	feed->host_bits_line = (unsigned)facts.host_bits_line;
	feed->records = facts.records;
	return 0;
}

static void keep_text(const struct feed *feed, const struct feed_cache *cache)
{
	const struct feed_facts facts = {
		.host_bits = feed->host_bits, .host_bits_line = feed->host_bits_line, .records = feed->records};

	feed_cache_keep(cache, feed->prefixes, feed->v4_before, feed->v6_before, &facts);
}

int feed_read(const struct list *list, unsigned number, struct prefixes *prefixes, struct report *report)
{
	struct feed feed = {.list = list, .number = number, .prefixes = prefixes, .report = report};
	struct feed_cache cache = {0};
	char *buffer = malloc(CHUNK);
	struct stat status;
	int fd, err;

	if (!buffer)
		return -ENOMEM;
	feed.v4_before = prefixes->v4_count;
	feed.v6_before = prefixes->v6_count;
	fd = open_feed(&feed, &status);
	err = fd < 0 ? fd : read_text(&feed, fd, buffer, &status, &cache);
	if (feed.err == -E2BIG)
		refuse(&feed, -E2BIG, "holds more than 33554432 prefixes");
	if (!err)
		err = judge(&feed, prefixes->v4_count - feed.v4_before + prefixes->v6_count - feed.v6_before);
	if (!err && changed_meanwhile(fd, &status))
		err = refuse(&feed, -EAGAIN, "was written to while it was read: try again");
	if (!err)
		keep_text(&feed, &cache);
	if (err) {
		prefixes->v4_count = feed.v4_before;
		prefixes->v6_count = feed.v6_before;
	}
	if (fd >= 0)
		close(fd);
	free(buffer);
	return err;
}
