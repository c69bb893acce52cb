/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bulwark-fetch: one transfer, for fetch.c, which says how they talk (fetch.h). Nobody else calls it. The server is
 * hostile: it gets a bounded time, and bounded bytes, headers and redirects; only https with a certificate that counts.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "fetch.h"

#define USER "bulwark-fetch"
#define WORDS 256
#define REQUEST_BYTES 8192

struct transfer {
	CURL *curl;
	struct curl_slist *headers;
	char etag[WORDS], last_modified[64]; /* of the last answer: a redirect's do not count */
	__u64 bytes, header_bytes;
	const char *refused; /* why we ended it; NULL: we did not */
	char *ca;
	size_t ca_bytes;
	char error[CURL_ERROR_SIZE];
};

static int answer(json_t *object)
{
	int error = json_dumpf(object, stdout, JSON_COMPACT);

	json_decref(object);
	return error || fflush(stdout);
}

static int answer_error(const char *format, const char *words)
{
	return answer(json_pack("{s:o}", "error", json_sprintf(format, words)));
}

/* ---- what comes ---- */

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t length = size * count, written = 0;

	transfer->bytes += length;
	if (transfer->bytes > FETCH_BYTES_MAX) {
		transfer->refused = "it is larger than 256 MiB";
		return 0;
	}
	while (written < length) {
		ssize_t bytes = write(FETCH_BODY_FD, data + written, length - written);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0) {
			transfer->refused = errno == ENOSPC ? "the disk of the state directory is full"
							    : "the state directory cannot be written to";
			return 0;
		}
		written += (size_t)bytes;
	}
	return length;
}

/* The value of a header line that has this name, printable and not too long; else to is left as it is. */
static void take_value(const char *line, size_t length, const char *name, char *to, size_t size)
{
	size_t at = strlen(name);

	if (length <= at || strncasecmp(line, name, at))
		return;
	while (at < length && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (length > at && isspace((unsigned char)line[length - 1]))
		length--;
	if (length - at >= size)
		return;
	for (size_t i = at; i < length; i++)
		if (line[i] < ' ' || line[i] > '~')
			return;
	memcpy(to, line + at, length - at);
	to[length - at] = '\0';
}

static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t length = size * count;

	transfer->header_bytes += length;
	if (transfer->header_bytes > FETCH_HEADER_BYTES) {
		transfer->refused = "its server sends more than 64 KiB of headers";
		return 0;
	}
	if (length >= 5 && !memcmp(line, "HTTP/", 5)) /* of the next answer */
		*transfer->etag = *transfer->last_modified = '\0';
	take_value(line, length, "etag:", transfer->etag, sizeof(transfer->etag));
	take_value(line, length, "last-modified:", transfer->last_modified, sizeof(transfer->last_modified));
	return length;
}

/* ---- what is asked ---- */

static void add_header(struct transfer *transfer, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);
	struct curl_slist *longer;
	char line[WORDS + 64];

	if (!text || !*text)
		return;
	snprintf(line, sizeof(line), "%s: %s", name, text);
	longer = curl_slist_append(transfer->headers, line);
	transfer->headers = longer ?: transfer->headers;
}

static bool read_ca(struct transfer *transfer)
{
	ssize_t bytes;

	transfer->ca = malloc(FETCH_CA_BYTES_MAX);
	while (transfer->ca && transfer->ca_bytes < FETCH_CA_BYTES_MAX) {
		bytes = read(FETCH_CA_FD, transfer->ca + transfer->ca_bytes, FETCH_CA_BYTES_MAX - transfer->ca_bytes);
		if (bytes <= 0)
			return !bytes;
		transfer->ca_bytes += (size_t)bytes;
	}
	return transfer->ca;
}

/* What may not be left to a default of the library, nor to what somebody built it with. */
static CURLcode restrict_transfer(struct transfer *transfer, const char *url)
{
	CURL *curl = transfer->curl;
	CURLcode error = curl_easy_setopt(curl, CURLOPT_URL, url);
	struct curl_blob ca = {transfer->ca, transfer->ca_bytes, CURL_BLOB_COPY};

	error = error ?: curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	error = error ?: curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	error = error ?: curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	error = error ?: curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	error = error ?: curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (transfer->ca) {
		error = error ?: curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca);
		error = error ?: curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	error = error ?: curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	error = error ?: curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS);
	error = error ?: curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)FETCH_CONNECT_SECONDS);
	error = error ?: curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)FETCH_SECONDS);
	error = error ?: curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)FETCH_SLOW_BYTES);
	error = error ?: curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)FETCH_SLOW_SECONDS);
	error = error ?: curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)FETCH_BYTES_MAX);
	error = error ?: curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	return error;
}

static CURLcode prepare(struct transfer *transfer, const json_t *request)
{
	CURL *curl = transfer->curl;
	CURLcode error = restrict_transfer(transfer, json_string_value(json_object_get(request, "url")));

	add_header(transfer, "If-None-Match", json_object_get(request, "etag"));
	add_header(transfer, "If-Modified-Since", json_object_get(request, "last_modified"));
	error = error ?: curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
	error = error ?: curl_easy_setopt(curl, CURLOPT_USERAGENT, "bulwark");
	error = error ?: curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip"); /* counted as it is unpacked */
	error = error ?: curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	error = error ?: curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	error = error ?: curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	error = error ?: curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	error = error ?: curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
	return error;
}

/* ---- what became of it ---- */

static const char *words_of(const struct transfer *transfer, CURLcode error)
{
	if (transfer->refused)
		return transfer->refused;
	switch (error) {
	case CURLE_FILESIZE_EXCEEDED:
		return "it is larger than 256 MiB";
	case CURLE_OPERATION_TIMEDOUT:
		return "its server is too slow";
	case CURLE_UNSUPPORTED_PROTOCOL:
		return "its server redirects to what is not https";
	case CURLE_TOO_MANY_REDIRECTS:
		return "its server redirects more than 3 times";
	default:
		return *transfer->error ? transfer->error : curl_easy_strerror(error);
	}
}

static int tell(const struct transfer *transfer, CURLcode error)
{
	long status = 0;

	if (error)
		return answer_error("%s", words_of(transfer, error));
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	return answer(json_pack("{s:i, s:s, s:s}", "status", (int)status, "etag", transfer->etag, "last_modified",
				transfer->last_modified));
}

static int run(const json_t *request)
{
	struct transfer transfer = {};
	CURLcode error;

	if (json_is_true(json_object_get(request, "ca")) && !read_ca(&transfer))
		return answer_error("the certificates of 'ca' cannot be read: %s", strerror(errno));
	transfer.curl = curl_easy_init();
	error = transfer.curl ? prepare(&transfer, request) : CURLE_FAILED_INIT;
	return tell(&transfer, error ?: curl_easy_perform(transfer.curl)); /* the end of the process frees it all */
}

int main(void)
{
	json_t *request = json_loadf(stdin, JSON_REJECT_DUPLICATES, NULL);
	const char *failed;

	if (!json_is_string(json_object_get(request, "url")))
		return answer_error("bulwark-fetch is started by %s", "`bulwark fetch` and `bulwark apply`") ?: 2;
	failed = confine(USER, FETCH_BYTES_MAX);
	if (failed)
		return answer(json_pack(
			"{s:o}", "error",
			json_sprintf("bulwark-fetch gives up privileges before it asks anybody; %s failed: %s", failed,
				     strerror(errno))));
	return run(request) ? 3 : 0;
}
