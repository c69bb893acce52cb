/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Applying the policy in force anew when time or the host has overtaken it: the day of an `until` is over, or the
 * addresses changed that feeds are cut around. bulwarkd itself has too few privileges to load a policy and gains none:
 * a helper, forked before they are dropped, runs `bulwark apply --renew` for every byte it reads, and writes its exit
 * status back. It ends with the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "verbs.h"

#define SECOND_NS 1000000000ULL
#define AGAIN_NS (60 * SECOND_NS) /* after a refusal */
#define SETTLE_NS (2 * SECOND_NS) /* addresses change in company */
#define APART_NS (30 * SECOND_NS) /* between two renewals for addresses */

/* ---- the helper ---- */

/* `bulwark` beside this program. */
static void program_path(char path[PATH_MAX + 16])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[length > 0 ? length : 0] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "bulwark");
}

static void run_bulwark(const struct places *places, const char *path)
{
	const char *const arguments[] = {"bulwark",	    "--pin-dir", places->pin_dir, "--state-dir",
					 places->state_dir, "apply",	 "--renew",	  NULL};
	int nothing = open("/dev/null", O_RDWR);

	if (nothing >= 0) {
		dup2(nothing, STDIN_FILENO);
		dup2(nothing, STDOUT_FILENO);
	}
	execv(path, (char *const *)arguments);
	_exit(127);
}

static void helper_loop(const struct places *places, int fd)
{
	char path[PATH_MAX + 16];
	unsigned char byte;

	program_path(path);
	while (read(fd, &byte, 1) == 1) {
		pid_t child = fork();
		int status = 0;

		if (!child)
			run_bulwark(places, path);
		if (child < 0 || waitpid(child, &status, 0) != child)
			byte = 127;
		else
			byte = WIFEXITED(status) ? WEXITSTATUS(status) : 126;
		if (write(fd, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

int renew_open(struct daemon *daemon)
{
	int ends[2];
	pid_t helper;

	daemon->renew.fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return fail(EXIT_SYSTEM, "the helper that renews policies could not be made: %s", strerror(errno));
	helper = fork();
	if (!helper) {
		close(ends[0]);
		helper_loop(&daemon->places, ends[1]);
	}
	close(ends[1]);
	if (helper < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK)) {
		close(ends[0]);
		return fail(EXIT_SYSTEM, "the helper that renews policies could not be started: %s", strerror(errno));
	}
	daemon->renew.fd = ends[0];
	return EXIT_DONE;
}

/* ---- when ---- */

/* What the generation in force was made from; read again when another one is, and after every renewal. */
static void learn(struct renewal *renewal, const struct places *places, unsigned generation)
{
	json_t *description = saved_description(places, generation), *list;
	size_t i;

	renewal->generation = generation;
	renewal->ends = json_integer_value(json_object_get(description, "ends"));
	renewal->around = json_integer_value(json_object_get(description, "around"));
	renewal->has_feed = false;
	json_array_foreach(json_object_get(description, "lists"), i, list) renewal->has_feed |=
		json_is_string(json_object_get(list, "feed"));
	feeds_learn(&renewal->feeds, description);
	json_decref(description);
}

void renew_saw_host(struct daemon *daemon, const struct host *host)
{
	__u64 around = host_around(host);

	if (around == daemon->renew.around_now)
		return;
	daemon->renew.around_now = around;
	daemon->renew.settled_ns = monotonic_ns() + SETTLE_NS;
}

static const char *reason_to_renew(struct renewal *renewal, __u64 now)
{
	const char *feed = feeds_changed(&renewal->feeds, now);

	snprintf(renewal->feed, sizeof(renewal->feed), "%s", feed ?: "");
	if (feed)
		return "a feed changed";
	if (renewal->ends && time(NULL) >= renewal->ends)
		return "the time of one of its entries is over";
	if (renewal->has_feed && renewal->around && renewal->around_now && renewal->around != renewal->around_now &&
	    now >= renewal->settled_ns && now >= renewal->last_ns + APART_NS)
		return "the addresses changed that its feeds are cut around";
	return NULL;
}

/* A refused feed is not tried again before it changes, so that nothing else has to wait for it. */
static void tell_feed(struct daemon *daemon, bool refreshed)
{
	struct renewal *renewal = &daemon->renew;

	if (refreshed) {
		renewal->refreshed++;
		tell_notice(daemon, "feed-refreshed", json_pack("{s:s}", "list", renewal->feed),
			    "the feed of %s is in force as it is now", renewal->feed);
		return;
	}
	renewal->refused++;
	tell_notice(daemon, "feed-refused", json_pack("{s:s}", "list", renewal->feed),
		    "the feed of %s changed and was refused; the last good one stays in force, and "
		    "`bulwark apply --renew` says why",
		    renewal->feed);
}

static void hear_answer(struct daemon *daemon)
{
	struct renewal *renewal = &daemon->renew;
	unsigned char status;
	ssize_t length = read(renewal->fd, &status, 1);

	if (length < 0 && errno == EAGAIN)
		return;
	renewal->running = false;
	renewal->generation = 0; /* learn anew */
	if (*renewal->feed)
		tell_feed(daemon, length == 1 && !status);
	if (length == 1 && (!status || *renewal->feed))
		return;
	renewal->again_ns = monotonic_ns() + AGAIN_NS;
	tell_notice(daemon, "policy-renewal-refused", json_pack("{s:i}", "exit_status", length == 1 ? status : 127),
		    "the policy in force could not be applied anew (exit status %d) and stays as it is; "
		    "`bulwark apply --renew` says why",
		    length == 1 ? status : 127);
	if (length != 1) { /* the helper is gone */
		close(renewal->fd);
		renewal->fd = -1;
	}
}

void renew_when_due(struct daemon *daemon, const struct control_state *state)
{
	struct renewal *renewal = &daemon->renew;
	__u64 now = monotonic_ns();
	const char *why;

	if (renewal->fd < 0)
		return;
	if (renewal->running)
		hear_answer(daemon);
	/* A pause and a candidate that waits to be confirmed are somebody's business. */
	if (renewal->running || now < renewal->again_ns || state->remaining_ms || state->active >= GENERATION_SLOTS)
		return;
	if (state->slots[state->active].generation != renewal->generation)
		learn(renewal, &daemon->places, state->slots[state->active].generation);
	why = reason_to_renew(renewal, now);
	if (!why)
		return;
	tell_notice(daemon, "policy-renewal", json_pack("{s:s}", "why", why), "the policy is applied anew: %s", why);
	renewal->last_ns = now;
	feeds_tried(&renewal->feeds, now);
	renewal->running = write(renewal->fd, "", 1) == 1;
}

void renew_close(struct daemon *daemon)
{
	if (daemon->renew.fd >= 0)
		close(daemon->renew.fd);
	daemon->renew.fd = -1;
}
