/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bans as the daemon sees them: it tells when the shield bans by itself and when such a ban ends, forgets what is long
 * over, and saves all of them for the next boot. The kernel decides; a ban that nobody tells holds all the same.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "judge.h"
#include "saved_bans.h"

#define SAVE_NS (60ULL * 1000000000)
#define SETTLED_NS 10000000 /* a ban is written so long after its beginning, at most */
#define SELDOM 50	    /* of the time, a part like this at most goes into looking */

static double epoch(__u64 boot_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9 - ((double)boottime_ns() - (double)boot_ns) / 1e9;
}

static json_t *ban_line(struct daemon *daemon, const struct automatic_row *row, const char *action, __u64 at,
			const char *reason)
{
	char text[PREFIX_TEXT], service[64];

	return json_pack("{s:f, s:s, s:s, s:s, s:s, s:s, s:f, s:I}", "time", epoch(at), "action", action, "address",
			 prefix_text(&row->prefix, text), "origin", ORIGIN_AUTOMATIC, "reason", reason, "service",
			 service_name(daemon->instance, row->ban.service, service), "for_s",
			 (double)(row->ban.until_ns - row->ban.since_ns) / 1e9, "times", (json_int_t)row->ban.times);
}

/* What began and what ended since the last look, each once. */
static void tell_row(struct daemon *daemon, const struct automatic_row *row, __u64 from, __u64 to)
{
	const struct automatic_ban *ban = &row->ban;

	if (ban->since_ns > from && ban->since_ns <= to)
		tell_line(daemon, ban_line(daemon, row, "ban", ban->since_ns, reason_name(ban->reason)));
	if (ban->until_ns > from && ban->until_ns <= to)
		tell_line(daemon, ban_line(daemon, row, "unban", ban->until_ns, "expired"));
}

static void sooner(__u64 *next, __u64 time, __u64 after)
{
	if (time > after && time < *next)
		*next = time;
}

/* The table is read when it changed, or when a ban in it ends: while nothing happens it costs nothing, full or not. */
static void tell_bans(struct daemon *daemon, bool flush)
{
	__u64 now = boottime_ns(), from = daemon->bans_told_ns, to = now - (flush ? 0 : SETTLED_NS);
	__u64 next = UINT64_MAX;
	__u32 changes = holds_changes(daemon->instance);
	struct automatic_row *rows = NULL;
	size_t count = 0;

	if (!flush && (now < daemon->bans_look_ns || (changes == daemon->bans_looked && to < daemon->bans_next_ns)))
		return;
	if (to <= from || automatic_read(daemon->instance, &rows, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		tell_row(daemon, &rows[i], from, to);
		sooner(&next, rows[i].ban.since_ns, to);
		sooner(&next, rows[i].ban.until_ns, to);
	}
	free(rows);
	daemon->bans_told_ns = to;
	daemon->bans_looked = changes;
	daemon->bans_next_ns = next;
	daemon->bans_look_ns = now + SELDOM * (boottime_ns() - now);
}

static void save_bans(struct daemon *daemon)
{
	__u32 changes = holds_changes(daemon->instance);
	struct control_state state;

	/* until a generation is in force, the first apply after a boot may not have read the file yet */
	if (control_read(daemon->instance, &state) || state.active == SLOT_NONE)
		return;
	daemon->bans_saved_ns = monotonic_ns();
	automatic_sweep(daemon->instance);
	if (daemon->bans_saved && changes == daemon->bans_changes)
		return;
	daemon->bans_changes = changes;
	daemon->bans_saver = fork();
	if (daemon->bans_saver)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the lock of the daemon must not outlive it */
	_exit(bans_save(&daemon->places, daemon->instance) ? 1 : 0);
}

/* What became of the last save. A million bans take seconds to write, so a process of its own does it. */
static bool saver_done(struct daemon *daemon, bool wait)
{
	int status, failed;

	if (daemon->bans_saver <= 0)
		return true;
	if (waitpid(daemon->bans_saver, &status, wait ? 0 : WNOHANG) == 0)
		return false;
	failed = !WIFEXITED(status) || WEXITSTATUS(status);
	if (failed && !daemon->bans_failed)
		fprintf(stderr, "%s: the bans could not be saved; it is tried again\n", program_invocation_short_name);
	daemon->bans_failed = failed;
	daemon->bans_saved = !failed;
	daemon->bans_saver = 0;
	return true;
}

void watch_bans(struct daemon *daemon, bool flush)
{
	if (!daemon->instance)
		return;
	tell_bans(daemon, flush);
	if (!saver_done(daemon, flush) || (!flush && monotonic_ns() - daemon->bans_saved_ns < SAVE_NS))
		return;
	save_bans(daemon);
	if (flush)
		saver_done(daemon, true);
}
