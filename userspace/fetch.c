/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Has a feed fetched, judges what came, and puts it in the place of the last good one. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "feed.h"
#include "fetch.h"
#include "remote.h"

#define ANSWER_BYTES 8192
#define GRACE_SECONDS 5 /* beyond the time that bulwark-fetch gives itself */
#define SPARE_FD 16	/* above all that it is given */

const char *const fetch_outcomes[] = {"new", "same", "refused", NULL};

struct fetch {
	const struct list *list;
	struct fetched *fetched;
	char partial[REMOTE_PATH], copy[REMOTE_PATH], facts_path[REMOTE_PATH];
	struct remote_facts facts; /* of the copy that is there */
	int body, ca;		   /* descriptors, -1: none */
};

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns -1, so that a step ends with it. */
static int __attribute__((format(printf, 2, 3))) refuse(struct fetch *fetch, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fetch->fetched->why, sizeof(fetch->fetched->why), format, arguments);
	va_end(arguments);
	fetch->fetched->outcome = FETCH_REFUSED;
	return -1;
}

/* ---- places ---- */

/* The file that is written, locked: who comes second leaves it to the first. */
static int open_partial(struct fetch *fetch)
{
	const char *url = fetch->list->feed;

	if (!remote_path(url, "list", fetch->copy) || !remote_path(url, "json", fetch->facts_path) ||
	    !remote_path(url, "partial", fetch->partial))
		return refuse(fetch, "the path of the state directory is too long");
	if (remote_make_directories())
		return refuse(fetch, "the directory of %s: %s", fetch->partial, strerror(errno));
	fetch->body = open(fetch->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fetch->body < 0)
		return refuse(fetch, "%s: %s", fetch->partial, strerror(errno));
	if (flock(fetch->body, LOCK_EX | LOCK_NB))
		return refuse(fetch, "it is being fetched already");
	if (ftruncate(fetch->body, 0))
		return refuse(fetch, "%s: %s", fetch->partial, strerror(errno));
	return 0;
}

/* Opened here, because bulwark-fetch may read nothing of this host's own. */
static int open_ca(struct fetch *fetch)
{
	const char *path = fetch->list->ca;
	struct stat status;

	if (!path)
		return 0;
	fetch->ca = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fetch->ca < 0 || fstat(fetch->ca, &status))
		return refuse(fetch, "'ca' %s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode) || (__u64)status.st_size > FETCH_CA_BYTES_MAX)
		return refuse(fetch, "'ca' %s is not a file of certificates of at most 1 MiB", path);
	return 0;
}

/* ---- the program ---- */

static void program_path(char path[PATH_MAX + 32])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, FETCH_PROGRAM);
}

/* How to reach the web is this host's; nothing else of the environment is the program's business. */
static char **few_words(char *words[8])
{
	static const char *const kept[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		const char *value = getenv(kept[i]);

		if (value && asprintf(&words[count], "%s=%s", kept[i], value) > 0)
			count++;
	}
	words[count] = NULL;
	return words;
}

/* In the child: its descriptors, and no others (all are closed on exec). */
static void run_program(const struct fetch *fetch, int request, int answer)
{
	const struct {
		int from, to;
	} given[] = {{request, STDIN_FILENO},
		     {answer, STDOUT_FILENO},
		     {open("/dev/null", O_WRONLY), STDERR_FILENO},
		     {fetch->body, FETCH_BODY_FD},
		     {fetch->ca, FETCH_CA_FD}};
	char path[PATH_MAX + 32], *arguments[] = {(char[]){FETCH_PROGRAM}, NULL}, *words[8];
	int spare[sizeof(given) / sizeof(*given)];

	program_path(path);
	for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++)
		spare[i] = given[i].from < 0 ? -1 : fcntl(given[i].from, F_DUPFD, SPARE_FD);
	for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++)
		if (spare[i] >= 0)
			dup2(spare[i], given[i].to);
	close_range(fetch->ca < 0 ? FETCH_CA_FD : FETCH_CA_FD + 1, ~0U, 0);
	execve(path, arguments, few_words(words));
	_exit(127);
}

static bool write_request(const struct fetch *fetch, int fd)
{
	json_t *request = json_pack("{s:s, s:s, s:s, s:b}", "url", fetch->list->feed, "etag", fetch->facts.etag,
				    "last_modified", fetch->facts.last_modified, "ca", fetch->ca >= 0);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : 0;
	bool written = text && write(fd, text, length) == (ssize_t)length; /* fits into a pipe */

	free(text);
	json_decref(request);
	return written;
}

/* Until the program closes its end, or its time is over. */
static bool read_answer(int fd, char answer[ANSWER_BYTES])
{
	double end = now_s() + FETCH_SECONDS + GRACE_SECONDS;
	size_t filled = 0;

	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		double left = end - now_s();
		ssize_t bytes;

		if (left <= 0 || (poll(&wait, 1, (int)(left * 1000) + 1) < 0 && errno != EINTR))
			return false;
		if (!wait.revents)
			continue;
		bytes = read(fd, answer + filled, ANSWER_BYTES - 1 - filled);
		if (bytes < 0 && errno == EINTR)
			continue;
		filled += bytes > 0 ? (size_t)bytes : 0;
		if (bytes <= 0 || filled == ANSWER_BYTES - 1) {
			answer[filled] = '\0';
			return !bytes;
		}
	}
}

static json_t *understand(struct fetch *fetch, bool whole, const char *answer, int status)
{
	json_t *object = whole ? json_loads(answer, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *error = json_string_value(json_object_get(object, "error"));

	if (!object && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		refuse(fetch, "%s cannot be run: it belongs beside this program", FETCH_PROGRAM);
	else if (!object && WIFSIGNALED(status))
		refuse(fetch, "%s was ended by signal %d", FETCH_PROGRAM, WTERMSIG(status));
	else if (!object)
		refuse(fetch, "%s gave no answer", FETCH_PROGRAM);
	else if (error)
		refuse(fetch, "%s", error);
	if (!error)
		return object;
	json_decref(object);
	return NULL;
}

/* What the server said, or NULL with words. The caller's. */
static json_t *transfer(struct fetch *fetch)
{
	int request[2], answer[2], status = 0;
	char text[ANSWER_BYTES] = "";
	bool whole = false;
	pid_t child;

	if (pipe2(request, O_CLOEXEC))
		return refuse(fetch, "%s", strerror(errno)), NULL;
	if (pipe2(answer, O_CLOEXEC)) {
		close(request[0]);
		close(request[1]);
		return refuse(fetch, "%s", strerror(errno)), NULL;
	}
	child = write_request(fetch, request[1]) ? fork() : -1;
	if (!child)
		run_program(fetch, request[0], answer[1]);
	close(request[0]);
	close(request[1]);
	close(answer[1]);
	if (child > 0) {
		whole = read_answer(answer[0], text);
		if (!whole)
			kill(child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(answer[0]);
	return child > 0 ? understand(fetch, whole, text, status) : (refuse(fetch, "%s", strerror(errno)), NULL);
}

/* ---- what came ---- */

/* The first finding says it all; the file that its line is of is gone soon. */
static int refuse_text(struct fetch *fetch, const struct report *report, int error)
{
	const struct finding *finding = NULL;
	const char *words;

	for (size_t i = 0; i < report->count && !finding; i++)
		if (report->findings[i].severity == SEVERITY_ERROR)
			finding = &report->findings[i];
	if (!finding)
		return refuse(fetch, "what came cannot be read: %s", strerror(-error));
	words = strstr(finding->text, fetch->partial); /* "feed 'PATH' is a web page ..." */
	if (words)
		return refuse(fetch, "what came%s", words + strlen(fetch->partial) + 1);
	return refuse(fetch, "what came is no list of addresses: line %u: %s", finding->at.line, finding->text);
}

static int judge(struct fetch *fetch, bool force)
{
	struct list candidate = *fetch->list;
	struct fetched *fetched = fetch->fetched;
	struct prefixes prefixes = {};
	struct report report = {};
	__u64 before = fetch->facts.prefixes;
	int error;

	candidate.feed = fetch->partial;
	error = feed_read(&candidate, 0, &prefixes, &report);
	fetched->prefixes = prefixes.v4_count + prefixes.v6_count;
	if (error)
		error = refuse_text(fetch, &report, error);
	else if (!force && before > fetched->prefixes &&
		 (before - fetched->prefixes) * 100 > before * fetch->list->max_shrink)
		error = refuse(fetch,
			       "it shrank from %llu to %llu prefixes, more than its max-shrink of %u%% (`bulwark fetch "
			       "--force` takes it)",
			       before, fetched->prefixes, fetch->list->max_shrink);
	prefixes_free(&prefixes);
	report_free(&report);
	return error;
}

/* The same bytes again are no news: the copy stays the file that it was. */
static bool is_same(const struct fetch *fetch)
{
	int copy = open(fetch->copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char ours[65536], theirs[sizeof(ours)];
	off_t at = 0;
	ssize_t bytes = -1;

	while (copy >= 0) {
		bytes = pread(copy, ours, sizeof(ours), at);
		if (bytes < 0 || pread(fetch->body, theirs, sizeof(theirs), at) != bytes ||
		    memcmp(ours, theirs, (size_t)bytes)) {
			bytes = -1;
			break;
		}
		if (!bytes)
			break;
		at += bytes;
	}
	if (copy >= 0)
		close(copy);
	return !bytes;
}

/* In this order a crash leaves a whole copy, at worst without what its server said: then it is fetched once more. */
static int take_over(struct fetch *fetch, const json_t *answer)
{
	const char *etag = json_string_value(json_object_get(answer, "etag"));
	const char *modified = json_string_value(json_object_get(answer, "last_modified"));
	struct remote_facts facts = {.prefixes = fetch->fetched->prefixes};
	bool same = is_same(fetch);

	snprintf(facts.etag, sizeof(facts.etag), "%s", etag ?: "");
	snprintf(facts.last_modified, sizeof(facts.last_modified), "%s", modified ?: "");
	if (!same) {
		unlink(fetch->facts_path);
		if (fsync(fetch->body) || rename(fetch->partial, fetch->copy))
			return refuse(fetch, "%s: %s", fetch->copy, strerror(errno));
	}
	if (remote_facts_write(fetch->list->feed, &facts))
		return refuse(fetch, "%s cannot be written", fetch->facts_path);
	fetch->fetched->outcome = same ? FETCH_SAME : FETCH_NEW;
	return 0;
}

static void settle(struct fetch *fetch, const json_t *answer, bool force)
{
	json_int_t status = json_integer_value(json_object_get(answer, "status"));
	struct stat body;

	if (status == 304 && (*fetch->facts.etag || *fetch->facts.last_modified)) {
		fetch->fetched->outcome = FETCH_SAME;
		fetch->fetched->prefixes = fetch->facts.prefixes;
		if (remote_confirm(fetch->list->feed))
			refuse(fetch, "%s: %s", fetch->facts_path, strerror(errno));
		return;
	}
	if (status != 200) {
		refuse(fetch, "its server answered with status %lld", (long long)status);
		return;
	}
	if (!fstat(fetch->body, &body))
		fetch->fetched->bytes = (__u64)body.st_size;
	if (!judge(fetch, force))
		take_over(fetch, answer);
}

void feed_fetch(const struct list *list, bool force, struct fetched *fetched)
{
	struct fetch fetch = {.list = list, .fetched = fetched, .body = -1, .ca = -1};
	double began = now_s();

	*fetched = (struct fetched){};
	if (!open_partial(&fetch) && !open_ca(&fetch)) {
		json_t *answer;

		remote_facts_read(list->feed, &fetch.facts);
		answer = transfer(&fetch);
		if (answer)
			settle(&fetch, answer, force);
		json_decref(answer);
		if (fetched->outcome != FETCH_NEW)
			unlink(fetch.partial);
	}
	if (fetch.body >= 0)
		close(fetch.body);
	if (fetch.ca >= 0)
		close(fetch.ca);
	fetched->took_s = now_s() - began;
}
