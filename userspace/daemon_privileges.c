/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What bulwarkd gives up once it has begun, and whether what is left is enough. */
#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "verbs.h"

/* Pins and the state directory, for the user that it becomes. A sandbox that keeps it from that has had it done
 * (--share). */
int privileges_share(const struct daemon *daemon, const char *log, bool alone)
{
	int status;

	capng_get_caps_process();
	if (geteuid() || !capng_have_capability(CAPNG_EFFECTIVE, CAP_CHOWN))
		return alone ? fail(EXIT_SYSTEM, "--share: only root can, with CAP_CHOWN") : EXIT_DONE;
	status = daemon_user_share_state(&daemon->user, daemon->places.state_dir, log, daemon->limits.keep);
	if (!status && instance_share(&daemon->places))
		status = fail(EXIT_SYSTEM, "%s; or run bulwarkd with --user root", kernel_words());
	return status;
}

/* Another user keeps its capabilities over the change. */
static int become(const struct daemon_user *user, capng_select_t sets)
{
	if (geteuid() || !user->uid)
		return capng_apply(sets);
	if (sets == CAPNG_SELECT_BOTH && capng_apply(CAPNG_SELECT_BOUNDS))
		return -1;
	return capng_change_id((int)user->uid, (int)user->gid, CAPNG_DROP_SUPP_GRP);
}

/* What it needs from now on: pins, programs that count, links of interfaces. What was not given is not asked for, and
 * without CAP_SETPCAP (a sandbox) the bounding set is the sandbox's. */
int privileges_drop(const struct daemon *daemon)
{
	static const unsigned wanted[] = {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};
	bool given[sizeof(wanted) / sizeof(*wanted)];
	capng_select_t sets = CAPNG_SELECT_CAPS;
	int error = 0;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		given[i] = capng_have_capability(CAPNG_PERMITTED, wanted[i]);
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		sets = CAPNG_SELECT_BOTH;
	capng_clear(sets);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted) && !error; i++)
		if (given[i])
			error = capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
					     wanted[i]);
	if (error || become(&daemon->user, sets))
		return fail(EXIT_SYSTEM, "privileges could not be dropped: %s", strerror(errno));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return EXIT_DONE;
}

/* Said at once, and not when the log is rotated for the first time. */
int privileges_suffice(const struct daemon *daemon, const char *log)
{
	const struct event_log_limits *limits = &daemon->limits;
	const char *user = daemon->user.name, *place = daemon->places.state_dir;
	char directory[SAVED_PATH_MAX];
	struct stat about;
	char *slash;

	if (access(place, R_OK | W_OK | X_OK))
		return fail(EXIT_SYSTEM,
			    "%s: the user %s cannot work there (%s): open the directories above it to it, "
			    "or run bulwarkd with --user root",
			    place, user, strerror(errno));
	snprintf(directory, sizeof(directory), "%s", log);
	slash = strrchr(directory, '/');
	if (!slash || (!limits->file_bytes && !limits->file_s) || (!stat(log, &about) && !S_ISREG(about.st_mode)))
		return EXIT_DONE;
	slash[slash == directory] = 0;
	if (access(directory, W_OK | X_OK))
		return fail(EXIT_SYSTEM,
			    "%s: the user %s cannot rotate the log there (%s): chown %s %s, or run bulwarkd "
			    "with --user root",
			    directory, user, strerror(errno), user, directory);
	return EXIT_DONE;
}
