/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwarkd: writes the log of events, serves metrics, looks after interfaces. The shield does without it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "remote.h"
#include "settings.h"
#include "verbs.h"

#define DRAIN_BUSY_NS 5000000  /* while events come */
#define DRAIN_IDLE_NS 50000000 /* the first event after a silence waits this long at most */
#define TICK_NS 1000000000
#define DEFAULT_FILE_BYTES (64ULL << 20)
#define DEFAULT_KEEP 4
#define DEFAULT_MINUTE_BYTES (4ULL << 20)

#define SUMMARY_NS (3600ULL * 1000000000)

#define EVENTS_A_TURN 16

static struct loop {
	struct daemon daemon;
	char log_path[SAVED_PATH_MAX];
	struct source signals, drain, tick, links;
	int lock;
	bool idle, stop, foreground, only_share;
} loop = {
	.daemon.limits = {.file_bytes = DEFAULT_FILE_BYTES, .keep = DEFAULT_KEEP, .minute_bytes = DEFAULT_MINUTE_BYTES},
	.daemon.summary.every_ns = SUMMARY_NS,
	.daemon.epoll = -1,
	.lock = -1,
};

static const struct option options[] = {
	{"foreground", no_argument, NULL, 'f'},
	{"log", required_argument, NULL, 'l'},
	{"log-size", required_argument, NULL, 'z'},
	{"log-keep", required_argument, NULL, 'k'},
	{"log-age", required_argument, NULL, 'a'},
	{"sync", required_argument, NULL, 'y'},
	{"budget", required_argument, NULL, 'b'},
	{"syslog", required_argument, NULL, 'S'},
	{"journal", no_argument, NULL, 'j'},
	{"summary", required_argument, NULL, 'm'},
	{"user", required_argument, NULL, 'u'},
	{"share", no_argument, NULL, 'H'},
	{"renew-unit", required_argument, NULL, 'R'},
	{"pin-dir", required_argument, NULL, 'p'},
	{"state-dir", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{},
};

static const char usage[] =
	"usage: bulwarkd [OPTION...]\n"
	"\n"
	"Writes the events of the shield into a log, one JSON object a line, serves metrics where the policy\n"
	"says, and attaches interfaces that return.\n"
	"\n"
	"  --log FILE           where to write (STATE/events.jsonl; - is standard output)\n"
	"  --log-size BYTES     rotate beyond this size (64MiB; 0: never)\n"
	"  --log-age TIME       rotate a file that is this old (never; 24h)\n"
	"  --log-keep N         rotated files to keep (4)\n"
	"  --budget BYTES       at most so much a minute; what is left out is counted (4MiB; 0: any amount)\n"
	"  --sync WHEN          onto the disk: never (by itself), second (once in each), line (each)\n"
	"  --syslog RECEIVER    send events there too (RFC 5424): udp:ADDR:PORT, tcp:ADDR:PORT or unix:PATH; up to 4\n"
	"  --journal            and to the journal\n"
	"  --summary TIME       how often what came to services is summed up (1h)\n"
	"  --user NAME          who it goes on as after its start (BULWARK_USER, bulwark where there is one; root: "
	"stays root)\n"
	"  --share              give pins and state directory to that user, and end\n"
	"  --renew-unit UNIT    systemd's unit that applies the policy anew, instead of a helper\n"
	"  --foreground         do not leave the terminal\n"
	"  --pin-dir DIR        where the kernel's side is pinned (BULWARK_PIN_DIR, /sys/fs/bpf/bulwark)\n"
	"  --state-dir DIR      saved policies and history (BULWARK_STATE_DIR, /var/lib/bulwark)\n"
	"\n"
	"SIGHUP opens the log anew and reads the certificate and the token of metrics, SIGTERM ends. Exit status: 0 "
	"done; 2 usage; 3 the kernel or the system refused.\n";

static int number_option(const char *option, const char *text, __u64 *value)
{
	if (bytes_parse(text, value))
		return fail(EXIT_USAGE, "%s '%s' is not a size; write 64MiB, 512KiB or 1000", option, text);
	return EXIT_DONE;
}

static int age_option(const char *text, __u64 *seconds)
{
	__u64 ns;

	if (duration_parse(text, &ns) || ns < 1000000000ULL)
		return fail(EXIT_USAGE, "--log-age '%s' is not a time of at least a second; write 24h or 7d", text);
	*seconds = ns / 1000000000ULL;
	return EXIT_DONE;
}

static int summary_option(const char *text)
{
	if (duration_parse(text, &loop.daemon.summary.every_ns) || loop.daemon.summary.every_ns < 1000000000ULL)
		return fail(EXIT_USAGE, "--summary '%s' is not a time of at least a second; write 1h or 15m", text);
	return EXIT_DONE;
}

static int sink_option(const char *target)
{
	switch (sinks_add(&loop.daemon, target)) {
	case 0:
		return EXIT_DONE;
	case -ENOSPC:
		return fail(EXIT_USAGE, "--syslog '%s' is one receiver too many: at most %d", target, SINKS_MAX);
	default:
		return fail(EXIT_USAGE,
			    "--syslog '%s' is no receiver; write udp:192.0.2.9:514, tcp:[2001:db8::9]:601 or "
			    "unix:/dev/log",
			    target);
	}
}

static int sync_option(const char *text, enum log_sync *sync)
{
	static const char *const words[] = {[SYNC_NEVER] = "never", [SYNC_SECOND] = "second", [SYNC_LINE] = "line"};

	for (*sync = SYNC_NEVER; *sync <= SYNC_LINE; ++*sync)
		if (!strcmp(text, words[*sync]))
			return EXIT_DONE;
	return fail(EXIT_USAGE, "--sync '%s' is none of never, second, line", text);
}

static int take_option(int option)
{
	struct daemon *daemon = &loop.daemon;
	struct places *places = &daemon->places;
	__u64 keep;

	switch (option) {
	case 'f':
		loop.foreground = true;
		return EXIT_DONE;
	case 'l':
		return place_set(loop.log_path, sizeof(loop.log_path), "--log", optarg);
	case 'z':
		return number_option("--log-size", optarg, &daemon->limits.file_bytes);
	case 'a':
		return age_option(optarg, &daemon->limits.file_s);
	case 'S':
		return sink_option(optarg);
	case 'j':
		return sink_option("journal");
	case 'y':
		return sync_option(optarg, &daemon->limits.sync);
	case 'b':
		return number_option("--budget", optarg, &daemon->limits.minute_bytes);
	case 'k':
		if (bytes_parse(optarg, &keep) || keep > 1000)
			return fail(EXIT_USAGE, "--log-keep '%s' is not a number from 0 to 1000", optarg);
		daemon->limits.keep = (unsigned)keep;
		return EXIT_DONE;
	case 'm':
		return summary_option(optarg);
	case 'u':
		return setenv("BULWARK_USER", optarg, 1) ? fail(EXIT_SYSTEM, "--user: %s", strerror(errno)) : EXIT_DONE;
	case 'H':
		loop.only_share = true;
		return EXIT_DONE;
	case 'R':
		daemon->renew_unit = optarg;
		return EXIT_DONE;
	case 'p':
		return place_set(places->pin_dir, sizeof(places->pin_dir), "--pin-dir", optarg);
	case 's':
		return place_set(places->state_dir, sizeof(places->state_dir), "--state-dir", optarg);
	default:
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
}

static int read_options(int argc, char **argv)
{
	int option, status = places_from_environment(&loop.daemon.places);

	while (!status && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			exit(EXIT_DONE);
		}
		status = take_option(option);
	}
	if (!status && optind < argc)
		status = fail(EXIT_USAGE, "'%s' is one argument too many", argv[optind]);
	if (!status && daemon_user_find(&loop.daemon.user))
		status = fail(EXIT_USAGE,
			      "--user or BULWARK_USER: there is no user '%s': useradd --system %s, or say root",
			      loop.daemon.user.name, loop.daemon.user.name);
	if (!*loop.log_path)
		daemon_log_default(&loop.daemon.places, loop.log_path, sizeof(loop.log_path));
	return status;
}

/* One daemon for each state directory; the lock goes with the process. */
static int take_lock(void)
{
	char path[SAVED_PATH_MAX], pid[16] = "";

	saved_path(&loop.daemon.places, 0, "bulwarkd.lock", path);
	loop.lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (loop.lock < 0)
		return fail(EXIT_SYSTEM, "%s: %s", path, strerror(errno));
	if (!flock(loop.lock, LOCK_EX | LOCK_NB))
		return EXIT_DONE;
	if (read(loop.lock, pid, sizeof(pid) - 1) < 0)
		*pid = 0;
	return fail(EXIT_SYSTEM, "%s: a bulwarkd already runs for this state directory (process %s)", path,
		    *pid ? pid : "unknown");
}

static void say_pid(void)
{
	if (ftruncate(loop.lock, 0) || dprintf(loop.lock, "%d", (int)getpid()) < 0)
		return; /* only for the message of a second one */
}

/* systemd's readiness protocol is one datagram. */
static void notify_manager(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (!length || length >= sizeof(address.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = 0; /* an abstract one */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address,
		       offsetof(struct sockaddr_un, sun_path) + length);
		close(fd);
	}
}

/* ---- sources of the loop ---- */

static int timer_open(long interval_ns)
{
	struct itimerspec every = {.it_interval.tv_sec = interval_ns / 1000000000,
				   .it_interval.tv_nsec = interval_ns % 1000000000};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	every.it_value = every.it_interval;
	if (fd >= 0)
		timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

static int signals_open(void)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int source_add(struct daemon *daemon, struct source *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	if (source->fd < 0 || epoll_ctl(daemon->epoll, EPOLL_CTL_ADD, source->fd, &event))
		return -errno;
	return 0;
}

void source_drop(struct daemon *daemon, struct source *source)
{
	if (source->fd >= 0)
		epoll_ctl(daemon->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->fd = -1;
}

static void on_signal(struct daemon *daemon)
{
	struct signalfd_siginfo signal;

	while (read(loop.signals.fd, &signal, sizeof(signal)) == sizeof(signal)) {
		if (signal.ssi_signo != SIGHUP) {
			loop.stop = true;
			continue;
		}
		if (event_log_reopen(&daemon->log))
			fail(EXIT_SYSTEM, "%s: %s", daemon->log.path, strerror(errno));
		metrics_stop(daemon); /* begins anew at once, with the certificate and the token as they are now */
		metrics_follow(daemon);
	}
}

static bool rang(int timer)
{
	__u64 expirations;

	return read(timer, &expirations, sizeof(expirations)) == sizeof(expirations);
}

static void on_drain(struct daemon *daemon)
{
	struct itimerspec every = {};
	bool idle;

	if (!rang(loop.drain.fd))
		return;
	idle = !daemon->ring || event_ring_drain(daemon->ring) <= 0;
	if (fingerprints_learn(daemon))
		idle = false;
	sinks_run(daemon);
	if (idle == loop.idle)
		return;
	loop.idle = idle;
	every.it_interval.tv_nsec = idle ? DRAIN_IDLE_NS : DRAIN_BUSY_NS;
	every.it_value = every.it_interval;
	timerfd_settime(loop.drain.fd, 0, &every, NULL);
}

static void on_links(struct daemon *daemon)
{
	if (links_heard(loop.links.fd))
		daemon->links_changed = true;
}

static void save_state(struct daemon *daemon)
{
	if (!memcmp(&daemon->state, &daemon->saved, sizeof(daemon->state)))
		return;
	if (!daemon_state_write(&daemon->places, &daemon->state))
		daemon->saved = daemon->state;
}

/* Said once a second while the loop turns: a unit with WatchdogSec= restarts one that hangs. */
static void feed_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID");

	if (getenv("WATCHDOG_USEC") && (!pid || strtol(pid, NULL, 10) == getpid()))
		notify_manager("WATCHDOG=1");
}

static void on_tick(struct daemon *daemon)
{
	if (!rang(loop.tick.fd))
		return;
	feed_watchdog();
	watch_instance(daemon);
	watch_connections(daemon);
	watch_slow(daemon);
	sinks_look(daemon);
	metrics_follow(daemon);
	tell_histories(daemon);
	watch_bans(daemon, false);
	attacks_look(daemon);
	fingerprints_keep(daemon, false);
	summary_look(daemon, false);
	tell_losses(daemon, false);
	ledger_look(daemon);
	if (daemon->limits.sync == SYNC_SECOND)
		event_log_sync(&daemon->log);
	save_state(daemon);
}

static int open_sources(struct daemon *daemon)
{
	loop.signals = (struct source){signals_open(), on_signal};
	loop.drain = (struct source){timer_open(DRAIN_IDLE_NS), on_drain};
	loop.tick = (struct source){timer_open(TICK_NS), on_tick};
	loop.links = (struct source){links_open(), on_links};
	loop.idle = true;
	daemon->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (daemon->epoll < 0 || source_add(daemon, &loop.signals) || source_add(daemon, &loop.drain) ||
	    source_add(daemon, &loop.tick) || source_add(daemon, &loop.links))
		return fail(EXIT_SYSTEM, "the event loop could not be made: %s", strerror(errno));
	return EXIT_DONE;
}

static void run(struct daemon *daemon)
{
	struct epoll_event events[EVENTS_A_TURN];

	while (!loop.stop) {
		int count = epoll_wait(daemon->epoll, events, EVENTS_A_TURN, -1);

		for (int i = 0; i < count; i++) {
			struct source *source = events[i].data.ptr;

			if (source->fd >= 0) /* not dropped by one before it */
				source->ready(daemon);
		}
		if (daemon->links_changed && monotonic_ns() >= daemon->look_again_ns)
			watch_links(daemon);
	}
}

/* ---- beginning and end ---- */

static int begin(void)
{
	struct daemon *daemon = &loop.daemon;
	int error;

	daemon_state_read(&daemon->places, &daemon->state);
	snprintf(daemon->state.log, sizeof(daemon->state.log), "%s", loop.log_path);
	ledger_begin(daemon, loop.log_path);
	error = event_log_open(&daemon->log, loop.log_path, &daemon->limits);
	if (error)
		return fail(EXIT_SYSTEM, "%s: %s", loop.log_path, strerror(-error));
	daemon->names = names_open(&daemon->places);
	attacks_begin(daemon);
	daemon->unprotected = json_object();
	daemon->minute_told_ns = monotonic_ns();
	if (!daemon->names || !daemon->unprotected)
		return fail(EXIT_SYSTEM, "%s", strerror(ENOMEM));
	return open_sources(daemon);
}

static void end(void)
{
	struct daemon *daemon = &loop.daemon;

	if (daemon->ring)
		event_ring_drain(daemon->ring);
	tell_histories(daemon);
	watch_bans(daemon, true);
	attacks_close(daemon);
	watch_slow_close(daemon);
	fingerprints_keep(daemon, true);
	summary_look(daemon, true);
	tell_losses(daemon, true);
	ledger_look(daemon);
	event_log_sync(&daemon->log);
	save_state(daemon);
	metrics_stop(daemon);
	renew_close(daemon);
	fetch_close(daemon);
	watch_close(daemon);
	event_log_close(&daemon->log);
	summary_close(daemon);
	names_free(daemon->names);
	json_decref(daemon->unprotected);
}

int main(int argc, char **argv)
{
	int status = read_options(argc, argv);

	if (!status)
		status = privileges_share(&loop.daemon, loop.log_path, loop.only_share);
	if (loop.only_share)
		return status;
	if (!status)
		status = renew_open(&loop.daemon);
	if (!status)
		status = fetch_open(&loop.daemon);
	remote_use(loop.daemon.places.state_dir);
	if (!status)
		status = privileges_drop(&loop.daemon);
	if (!status)
		status = privileges_suffice(&loop.daemon, loop.log_path);
	if (!status)
		status = take_lock();
	if (!status)
		status = begin();
	if (!status && !loop.foreground && daemon(0, !strcmp(loop.log_path, "-")))
		status = fail(EXIT_SYSTEM, "it could not leave the terminal: %s", strerror(errno));
	if (status)
		return status;
	say_pid();
	watch_instance(&loop.daemon);
	metrics_follow(&loop.daemon);
	notify_manager("READY=1");
	run(&loop.daemon);
	notify_manager("STOPPING=1");
	end();
	return EXIT_DONE;
}
