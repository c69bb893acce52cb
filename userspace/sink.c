/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "endpoint.h"
#include "sink.h"

#define QUEUE_BYTES (1u << 20)
#define SOCKET_BYTES (128 << 10) /* what waits in the kernel counts as sent: not too much */
#define MESSAGES_A_TURN 1000
#define RETRY_FIRST_NS 1000000000ULL
#define RETRY_MOST_NS 60000000000ULL
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FACILITY_DAEMON 3

enum kind { KIND_UDP, KIND_TCP, KIND_UNIX, KIND_JOURNAL };

struct message { /* in the queue; its text stands behind it */
	struct message *next;
	size_t length;
	char text[];
};

struct sink {
	enum kind kind;
	char target[160];
	struct sockaddr_storage address;
	socklen_t address_length;
	int fd; /* -1: none */
	bool connecting;
	__u64 retry_ns, pause_ns; /* not connected again before; how long it waited last */
	struct message *first, **last;
	size_t queued; /* bytes of texts */
	size_t done;   /* of the first message, TCP */
	struct sink_counts counts;
	char trouble[128];
};

/* ---- opening ---- */

static bool unix_address(struct sink *sink, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&sink->address;

	if (*path != '/' || strlen(path) >= sizeof(address->sun_path))
		return false;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	sink->address_length = sizeof(*address);
	return true;
}

static bool parse_target(struct sink *sink, const char *target)
{
	static const char *const words[] = {
		[KIND_UDP] = "udp:", [KIND_TCP] = "tcp:", [KIND_UNIX] = "unix:", [KIND_JOURNAL] = "journal"};
	const char *rest;

	for (sink->kind = KIND_UDP; strncmp(target, words[sink->kind], strlen(words[sink->kind])); sink->kind++)
		if (sink->kind == KIND_JOURNAL)
			return false;
	rest = target + strlen(words[sink->kind]);
	if (sink->kind == KIND_UNIX)
		return unix_address(sink, rest);
	if (sink->kind == KIND_JOURNAL)
		return unix_address(sink, *rest == ':' ? rest + 1 : *rest ? "" : JOURNAL_SOCKET);
	sink->address_length = endpoint_parse(rest, &sink->address);
	return sink->address_length;
}

int sink_open(const char *target, struct sink **result)
{
	struct sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return -ENOMEM;
	sink->fd = -1;
	sink->last = &sink->first;
	snprintf(sink->target, sizeof(sink->target), "%s", target);
	if (strlen(target) >= sizeof(sink->target) || !parse_target(sink, target)) {
		free(sink);
		return -EINVAL;
	}
	*result = sink;
	return 0;
}

/* ---- the queue ---- */

static void drop_first(struct sink *sink)
{
	struct message *message = sink->first;

	sink->first = message->next;
	if (!sink->first)
		sink->last = &sink->first;
	sink->queued -= message->length;
	sink->done = 0;
	free(message);
}

/* Takes the text. */
static void put(struct sink *sink, const char *text, size_t length)
{
	struct message *message = NULL;

	sink->counts.offered++;
	if (sink->queued + length <= QUEUE_BYTES)
		message = malloc(sizeof(*message) + length);
	if (!message) {
		sink->counts.lost++;
		return;
	}
	message->next = NULL;
	message->length = length;
	memcpy(message->text, text, length);
	*sink->last = message;
	sink->last = &message->next;
	sink->queued += length;
}

/* ---- messages ---- */

static const char *text_at(const json_t *document, const char *object, const char *member)
{
	return json_string_value(json_object_get(json_object_get(document, object), member));
}

/* What a person did or what went wrong is worth more than a dropped packet. */
static int severity(const char *action)
{
	if (!strncmp(action, "events-", 7) || strstr(action, "unprotected") || strstr(action, "unavailable"))
		return 4;
	return strncmp(action, "packet-", 7) ? 5 : 6;
}

static char *syslog_message(const struct sink *sink, const json_t *document, const char *line, size_t *length)
{
	const char *time = json_string_value(json_object_get(document, "@timestamp"));
	const char *host = text_at(document, "host", "name"), *action = text_at(document, "event", "action");
	char *message = NULL, *framed = NULL;
	int size, whole;

	action = action ?: "event";
	size = asprintf(&message, "<%d>1 %s %.255s bulwarkd %d %.32s - %s", FACILITY_DAEMON * 8 + severity(action),
			time ?: "-", host && *host ? host : "-", (int)getpid(), action, line);
	if (size < 0)
		return NULL;
	*length = size;
	if (sink->kind != KIND_TCP)
		return message;
	whole = asprintf(&framed, "%d %s", size, message); /* RFC 6587, octet counting */
	free(message);
	*length = whole;
	return whole < 0 ? NULL : framed;
}

/* One line for people, the document beside it. No value holds a newline: JSON escapes it. */
static char *journal_message(const json_t *document, const char *line, size_t *length)
{
	const char *action = text_at(document, "event", "action"), *reason = text_at(document, "event", "reason");
	const char *words = json_string_value(json_object_get(document, "message"));
	const char *from = text_at(document, "source", "address"), *to = text_at(document, "destination", "address");
	char *message = NULL;
	int size;

	action = action ?: "event";
	if (words && !strchr(words, '\n'))
		size = asprintf(&message, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=bulwarkd\nBULWARK_EVENT=%s\n",
				words, severity(action), line);
	else
		size = asprintf(&message,
				"MESSAGE=%s%s%s%s%s%s%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=bulwarkd\nBULWARK_EVENT=%s\n",
				action, reason ? ", " : "", reason ?: "", from ? ": " : "", from ?: "", to ? " > " : "",
				to ?: "", severity(action), line);
	*length = size;
	return size < 0 ? NULL : message;
}

void sink_offer(struct sink *sink, const json_t *document, const char *line)
{
	size_t length = 0;
	char *text = sink->kind == KIND_JOURNAL ? journal_message(document, line, &length)
						: syslog_message(sink, document, line, &length);

	put(sink, text ?: "", text ? length : QUEUE_BYTES + 1);
	free(text);
}

/* ---- sending ---- */

static void hang_up(struct sink *sink, int error, __u64 now_ns)
{
	if (sink->fd >= 0)
		close(sink->fd);
	sink->fd = -1;
	sink->connecting = false;
	sink->done = 0; /* the first message goes out again, whole */
	sink->pause_ns = sink->pause_ns ? sink->pause_ns * 2 : RETRY_FIRST_NS;
	if (sink->pause_ns > RETRY_MOST_NS)
		sink->pause_ns = RETRY_MOST_NS;
	sink->retry_ns = now_ns + sink->pause_ns;
	snprintf(sink->trouble, sizeof(sink->trouble), "%s", strerror(error));
}

static void call_up(struct sink *sink, __u64 now_ns)
{
	int type = sink->kind == KIND_TCP ? SOCK_STREAM : SOCK_DGRAM, buffer = SOCKET_BYTES;

	sink->fd = socket(sink->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sink->fd < 0) {
		hang_up(sink, errno, now_ns);
		return;
	}
	setsockopt(sink->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (connect(sink->fd, (struct sockaddr *)&sink->address, sink->address_length)) {
		if (errno != EINPROGRESS)
			hang_up(sink, errno, now_ns);
		else
			sink->connecting = true;
	}
}

/* A receiver that hung up is only seen by reading; what one says is of no interest. */
static bool is_there(struct sink *sink, __u64 now_ns)
{
	char ignored[512];
	socklen_t size = sizeof(int);
	ssize_t got;
	int error = 0;

	if (getsockopt(sink->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
		if (sink->kind == KIND_UDP && sink->counts.sent) { /* a datagram came back */
			sink->counts.sent--;
			sink->counts.lost++;
		}
		hang_up(sink, error ?: errno, now_ns);
		return false;
	}
	if (sink->kind != KIND_TCP)
		return true;
	got = recv(sink->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != ENOTCONN)) {
		hang_up(sink, got ? errno : EPIPE, now_ns);
		return false;
	}
	return true;
}

/* False: not now. */
static bool send_first(struct sink *sink, __u64 now_ns)
{
	const struct message *message = sink->first;
	ssize_t sent = send(sink->fd, message->text + sink->done, message->length - sink->done, MSG_NOSIGNAL);

	if (sent >= 0 && (sink->kind != KIND_TCP || sink->done + sent == message->length)) {
		sink->counts.sent++;
		sink->connecting = false;
		sink->pause_ns = 0;
		sink->trouble[0] = '\0';
		drop_first(sink);
		return true;
	}
	if (sent >= 0) {
		sink->done += sent;
		return false;
	}
	if (errno == EMSGSIZE) { /* no datagram will ever hold it */
		sink->counts.lost++;
		drop_first(sink);
		return true;
	}
	if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR && !(sink->connecting && errno == ENOTCONN))
		hang_up(sink, errno, now_ns);
	return false;
}

void sink_run(struct sink *sink, __u64 now_ns)
{
	if (sink->fd >= 0 && !is_there(sink, now_ns))
		return;
	if (sink->fd < 0 && sink->first && now_ns >= sink->retry_ns)
		call_up(sink, now_ns);
	for (int i = 0; i < MESSAGES_A_TURN && sink->fd >= 0 && sink->first; i++)
		if (!send_first(sink, now_ns))
			return;
}

struct sink_counts sink_counts(const struct sink *sink)
{
	struct sink_counts counts = sink->counts;

	counts.waiting = counts.offered - counts.sent - counts.lost;
	return counts;
}

const char *sink_target(const struct sink *sink)
{
	return sink->target;
}

const char *sink_trouble(const struct sink *sink)
{
	return sink->trouble;
}

void sink_close(struct sink *sink)
{
	if (!sink)
		return;
	if (sink->fd >= 0)
		sink_run(sink, 0);
	while (sink->first)
		drop_first(sink);
	if (sink->fd >= 0)
		close(sink->fd);
	free(sink);
}
