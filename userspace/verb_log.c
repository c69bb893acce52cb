/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark log: the daemon's events, one line each for people, or as they were written. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <time.h>

#include "daemon_state.h"
#include "judge.h"
#include "log_reader.h"
#include "verb_common.h"

#define POLL_MS 100
#define LINES_BEFORE 10 /* of --follow, as tail and journalctl have it */

struct filter {
	struct prefix source;
	bool has_source, follow;
	const char *reason, *file;
};

static int read_options(const struct context *context, int argc, char **argv, struct filter *filter)
{
	const char *value;
	int option, status = EXIT_DONE;

	while (!status && (option = next_option(context, argc, argv, &value)) != OPTIONS_END) {
		switch (option) {
		case 'f':
			filter->follow = true;
			break;
		case 's':
			status = read_prefix(context, value, &filter->source);
			filter->has_source = true;
			break;
		case 'r':
			filter->reason = value;
			if (reason_by_name(value) < 0)
				status =
					fail(EXIT_USAGE, "log: '%s' is no reason; bulwark-events(7) lists them", value);
			break;
		case 'F':
			filter->file = value;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	return status ? status : no_operands(context, argc, argv);
}

/* Member "a.b" of a document. */
static const json_t *member(const json_t *document, const char *path)
{
	char key[64];
	const char *dot;

	while ((dot = strchr(path, '.'))) {
		snprintf(key, sizeof(key), "%.*s", (int)(dot - path), path);
		document = json_object_get(document, key);
		path = dot + 1;
	}
	return json_object_get(document, path);
}

static const char *word(const json_t *document, const char *path)
{
	return json_string_value(member(document, path));
}

static bool wanted(const struct filter *filter, const json_t *document)
{
	const char *reason = word(document, "event.reason"), *address = word(document, "source.address");
	struct prefix prefix;

	if (filter->reason && (!reason || strcmp(reason, filter->reason) || !word(document, "bulwark.verdict")))
		return false;
	if (!filter->has_source)
		return true;
	return address && !prefix_parse(address, &prefix) && prefixes_meet(&prefix, &filter->source);
}

static void print_end(const json_t *document, const char *side)
{
	char path[32];
	const char *address;
	const json_t *port;

	snprintf(path, sizeof(path), "%s.address", side);
	address = word(document, path);
	snprintf(path, sizeof(path), "%s.port", side);
	port = member(document, path);
	if (!address)
		return;
	if (!port)
		fputs(address, stdout);
	else
		printf(strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address, (long long)json_integer_value(port));
}

static void print_verdict(const json_t *document)
{
	const char *transport = word(document, "network.transport"), *number = word(document, "network.iana_number");
	const char *service = word(document, "service.name"), *rule = word(document, "bulwark.rule");
	const char *list = word(document, "bulwark.list"),
		   *interface = word(document, "observer.ingress.interface.name");
	json_int_t packets = json_integer_value(member(document, "bulwark.packets"));

	if (!interface)
		interface = word(document, "observer.egress.interface.name");
	printf("%-10s %-14s ", word(document, "bulwark.verdict"), word(document, "event.reason"));
	if (transport)
		printf("%s ", transport);
	else if (number)
		printf("ip/%s ", number);
	print_end(document, "source");
	if (member(document, "destination"))
		fputs(" > ", stdout);
	print_end(document, "destination");
	if (packets > 1)
		printf(" (%lld packets)", (long long)packets);
	if (service)
		printf(" service %s", service);
	if (list)
		printf(" list %s", list);
	if (rule)
		printf(" by %s", rule);
	if (interface)
		printf(" on %s", interface);
	putchar('\n');
}

static void print_action(const json_t *document)
{
	const char *action = word(document, "event.action"), *message = word(document, "message");
	const char *address = word(document, "source.address"), *user = word(document, "user.name");
	const char *reason = word(document, "event.reason"), *path = word(document, "bulwark.policy_path");
	const char *why = word(document, "bulwark.why"), *changed = word(document, "bulwark.changed");
	const char *origin = word(document, "bulwark.origin");
	const json_t *generation = member(document, "bulwark.generation"), *seconds = member(document, "bulwark.for_s");
	char time[32];

	printf("%s", action ? action : "event");
	if (address)
		printf(" %s", address);
	if (json_is_integer(generation))
		printf(" generation %lld", (long long)json_integer_value(generation));
	if (path)
		printf(" %s", path);
	if (seconds)
		printf(" for %s", text_seconds(seconds, time, sizeof(time)));
	if (user)
		printf(" by %s", user);
	if (origin && (!user || strcmp(origin, user)))
		printf(" for %s", origin);
	if (reason && *reason)
		printf(": %s", reason);
	if (why)
		printf(": %s", why);
	if (changed)
		printf(": %s", changed);
	if (message)
		printf(": %s", message);
	putchar('\n');
}

/* "2026-11-21T22:30:05.123Z" in local time. */
static void print_time(const char *stamp)
{
	struct tm broken = {};
	char text[32];
	time_t seconds;

	if (!stamp || !strptime(stamp, "%Y-%m-%dT%H:%M:%S", &broken))
		return;
	seconds = timegm(&broken);
	localtime_r(&seconds, &broken);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &broken);
	printf("%s ", text);
}

static void tell(const struct context *context, const struct filter *filter, const char *line)
{
	json_t *document = json_loads(line, 0, NULL);

	if (json_is_object(document) && wanted(filter, document)) {
		if (context->json) {
			puts(line);
		} else {
			print_time(word(document, "@timestamp"));
			if (word(document, "bulwark.verdict"))
				print_verdict(document);
			else
				print_action(document);
		}
	}
	json_decref(document);
}

static void tell_file(const struct context *context, const struct filter *filter, struct log_reader *reader)
{
	const char *line;

	while (!ferror(stdout) && (line = log_reader_next(reader)))
		tell(context, filter, line);
}

static void tell_rotated(const struct context *context, const struct filter *filter, const char *path)
{
	char rotated[SAVED_PATH_MAX + 16];
	struct log_reader reader;

	for (unsigned i = log_rotated(path); i > 0; i--) {
		snprintf(rotated, sizeof(rotated), "%s.%u", path, i);
		log_reader_open(&reader, rotated);
		tell_file(context, filter, &reader);
		log_reader_close(&reader);
	}
}

/* As journalctl -f and tail -f: what comes from now on, until interrupted or nobody reads. */
static int follow(const struct context *context, const struct filter *filter, struct log_reader *reader)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

	while (!ferror(stdout)) {
		tell_file(context, filter, reader);
		if (fflush(stdout))
			break;
		nanosleep(&pause, NULL);
	}
	return EXIT_DONE;
}

int verb_log(struct context *context, int argc, char **argv)
{
	char path[SAVED_PATH_MAX];
	struct filter filter = {};
	struct log_reader reader;
	int status = read_options(context, argc, argv, &filter);

	if (status)
		return status;
	if (filter.file)
		snprintf(path, sizeof(path), "%s", filter.file);
	else
		daemon_log_path(&context->places, path, sizeof(path));
	log_reader_open(&reader, path);
	if (!reader.file && errno != ENOENT)
		return fail(EXIT_SYSTEM, "log: %s: %s", path, strerror(errno));
	if (!reader.file && !filter.follow)
		return fail(EXIT_ANSWER_NO, "log: %s is not there: bulwarkd has written no event yet; is it running?",
			    path);
	if (filter.follow) {
		log_reader_last(&reader, LINES_BEFORE);
		status = follow(context, &filter, &reader);
	} else {
		tell_rotated(context, &filter, path);
		tell_file(context, &filter, &reader);
	}
	log_reader_close(&reader);
	return status;
}
