/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The parts of bulwarkd. One thread, one epoll loop (bulwarkd.c); what it tells (daemon_tell.c) goes into the log, what
 * it looks after (daemon_watch.c) are the pins, the interfaces and the history; daemon_metrics.c serves metrics,
 * daemon_attacks.c watches for attacks.
 * Nothing of the shield waits for it.
 */
#ifndef BULWARK_DAEMON_H
#define BULWARK_DAEMON_H

#include "daemon_user.h"
#include "daemon_state.h"
#include "event_log.h"
#include "events.h"
#include "exposition.h"
#include "fetch.h"
#include "helper.h"

struct attack_watch; /* opaque: daemon_attacks.c */
struct path_watch;   /* opaque: path_watch.h */
struct slow_watch;   /* opaque: daemon_slow.c */

struct left_out { /* what the log does not hold, until an event says so */
	__u64 events, packets;
	__u64 by_reason[REASON_SLOTS]; /* packets */
};

struct daemon;
/* What the loop waits for. The concern that it belongs to owns it, and its descriptor. */
struct source {
	int fd; /* -1: none */
	void (*ready)(struct daemon *daemon);
};

struct feed_file { /* of a list with `refresh` */
	char *path, name[64];
	__u64 refresh_ns;
	__u64 seen, seen_ns;   /* as it is, and since when it is so; 0: it is not there */
	__u64 tried, tried_ns; /* as it was when the policy was applied with it */
	bool look;	       /* it may be another than it was seen */
	bool watched;	       /* inotify says so; otherwise it is looked at every second */
	bool again;	       /* not its first time: `refresh` bounds how often */
	bool hidden;	       /* the daemon may not look at it, which was told */
};

struct feed_files {
	struct feed_file *items;
	size_t count;
	struct path_watch *watch; /* NULL: nothing to watch, or inotify refuses */
	struct source heard;
	bool watch_anew;   /* the way to one of them is another now */
	__u64 all_look_ns; /* what inotify cannot see is seen by then */
};

struct remote_feed { /* of a list whose feed is fetched */
	char *url, name[64];
	__u64 refresh_ns, next_ns; /* CLOCK_MONOTONIC */
	unsigned failures;	   /* since it was last fetched */
	char why[256];		   /* of the last one, as it was told */
};

struct remote_feeds {
	struct helper helper;
	struct remote_feed *items;
	size_t count;
	char asked[64];			 /* the list that the helper fetches */
	__u64 counts[FETCH_REFUSED + 1]; /* by enum fetch_outcome, since the daemon began */
};

struct profile_rules { /* what the policy in force says of `under-attack` */
	unsigned generation;
	json_t *services; /* names of those that have it; NULL: none */
	__u64 hold_ns;
	bool by_hand; /* never by itself */
};

struct renewal { /* of the policy in force */
	struct helper helper;
	unsigned generation; /* whose description this is; 0: to be read */
	__s64 ends;
	__u64 around, around_now;  /* what feeds were cut around, and what they would be */
	bool balances;		   /* IPVS had services here */
	bool has_vrf, has_vrf_now; /* an interface was in a VRF, is in one */
	bool has_feed;
	struct feed_files feeds;
	char feed[64];		  /* the one that is being refreshed; "": none */
	__u64 refreshed, refused; /* feeds, so far */
	__u64 settled_ns, last_ns, again_ns;
};

struct summary {
	__u64 every_ns, since_ns;   /* since_ns: CLOCK_MONOTONIC; 0: nothing is remembered */
	struct service_load *loads; /* as they were then */
	size_t count;
};

struct daemon {
	int epoll;
	struct places places;
	struct daemon_user user; /* who it is after its start */
	const char *renew_unit;	 /* systemd's, that applies the policy anew; NULL: a helper does */
	struct event_log_limits limits;
	struct daemon_state state, saved; /* saved: as it is in the file */
	struct event_log log;
	struct names *names;

	struct instance *instance; /* NULL: nothing is applied, looked for again */
	struct event_ring *ring;
	__u64 pins;	     /* identity of the pinned ring: another one means that `down` and `apply` came */
	bool unopened_told;  /* why they cannot be opened */
	unsigned generation; /* in force, or under a pause; 0: none */
	bool links_changed;  /* rtnetlink said so */
	__u64 look_again_ns; /* not before: a host with a million routes takes a while to look at */
	json_t *unprotected; /* names of interfaces that could not be attached: told once, tried again */
	__u64 attach_again_ns;

	struct server *server;	     /* of metrics; NULL: none runs */
	unsigned metrics_generation; /* whose policy was asked where to serve them */
	__u64 serve_again_ns;	     /* after a failure, which was told */
	struct exposition_memory exposed;

	/* CLOCK_BOOTTIME: automatic bans that began or ended until then are told; when the next one begins or ends; not
	 * to be looked for before */
	__u64 bans_told_ns, bans_next_ns, bans_look_ns;
	__u32 bans_looked;   /* holds_changes() at the last look */
	__u64 bans_saved_ns; /* CLOCK_MONOTONIC */
	__u32 bans_changes;  /* holds_changes() as it was saved */
	bool bans_saved, bans_failed;
	pid_t bans_saver; /* a child that writes them; 0: none */

	__u64 recount_again_ns;	       /* of open connections */
	unsigned recounted_generation; /* the last one was for it */
	bool recount_failed;	       /* which was told */
	struct slow_watch *slow;       /* senders; NULL: none yet */

	__u64 clients_saved_ns; /* CLOCK_MONOTONIC: fingerprints of TLS clients */
	bool clients_changed;

	struct renewal renew;
	struct remote_feeds fetching;
	struct attack_watch *attacks;
	struct profile_rules profiles;

	__u64 gap_told, gap_newest; /* lines of verdicts that a killed daemon wrote after it last saved its state */
	__u64 written_ahead;	    /* number of an event that is in the log and still in the ring; 0: none */
	struct sink *sinks[SINKS_MAX];
	__u64 sinks_lost_told[SINKS_MAX];
	unsigned sink_count;

	struct summary summary;
	struct left_out over_budget, unwritten;
	__u64 minute_told_ns;
};

__u64 monotonic_ns(void);

/* 0 or -errno. A source that is dropped gets fd -1; closing it is its owner's. */
int source_add(struct daemon *daemon, struct source *source);
void source_drop(struct daemon *daemon, struct source *source);

/* ---- daemon_privileges.c ---- */

/* Each an enum exit_status, in this order. alone: nothing else is wanted, so being unable to is an error. */
int privileges_share(const struct daemon *daemon, const char *log, bool alone);
int privileges_drop(const struct daemon *daemon); /* after the helpers were forked, before anything is open */
int privileges_suffice(const struct daemon *daemon, const char *log);

/* ---- daemon_tell.c ---- */

/* For event_ring_open(): arg is the daemon. */
void tell_event(void *daemon, const struct event *event, __u64 number);
/* An event of the daemon itself; members of more go into `bulwark`, the reference is taken. Also on standard error. */
void tell_notice(struct daemon *daemon, const char *action, json_t *more, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* New lines of history.jsonl and actions.jsonl. */
void tell_histories(struct daemon *daemon);
/* Once a minute, or when flush is set: what was left out, what could not be written, what the ring lost. */
void tell_losses(struct daemon *daemon, bool flush);

/* One document of the form of actions.jsonl, within the budget of the log. The reference is taken. */
void tell_line(struct daemon *daemon, json_t *line);
/* Likewise, whatever the log has left of its budget: what a person must hear of, and no sender can make many of. */
void tell_alert(struct daemon *daemon, json_t *line);

/* ---- daemon_renew.c ---- */

/* Starts the helper: before privileges are dropped and anything is open. enum exit_status. */
int renew_open(struct daemon *daemon);
void renew_close(struct daemon *daemon);
/* Every second: asks the helper where the policy in force is overtaken, says what became of it. */
void renew_when_due(struct daemon *daemon, const struct control_state *state);
/* What feeds would be cut around now. */
void renew_saw_host(struct daemon *daemon, const struct host *host);

/* ---- daemon_fetch.c ---- */

int fetch_open(struct daemon *daemon); /* as renew_open() */
void fetch_close(struct daemon *daemon);
void fetch_learn(struct remote_feeds *feeds, const json_t *description); /* of the generation in force */
void fetch_when_due(struct daemon *daemon);				 /* every second */

/* ---- daemon_feeds.c ---- */

/* Takes over the feeds of the generation in force, remembering what was tried. */
void feeds_learn(struct daemon *daemon, const json_t *description);
/* Every second. The name of a list whose feed changed, kept still, and may be tried now; NULL: none. */
const char *feeds_changed(struct daemon *daemon, __u64 now_ns);
void feeds_tried(struct feed_files *files, __u64 now_ns); /* a renewal begins: all of them as they are */

/* ---- daemon_links.c ---- */

/* A descriptor that becomes readable when links, addresses, routes or forwarding change; -1 with errno. */
int links_open(void);
/* Reads what it says; whether any of it matters. What it is does not matter: everything is looked at again. */
bool links_heard(int fd);

/* ---- daemon_bans.c ---- */

/* Tells automatic bans; saves all bans once a minute, or when flush is set. */
void watch_bans(struct daemon *daemon, bool flush);

/* ---- daemon_attacks.c ---- */

/* Every second: what came to each service since the last look; tells attacks that began and ended. */
void attacks_look(struct daemon *daemon);
void attacks_begin(struct daemon *daemon); /* after the state directory is known: what is usual, as it was saved */
void attacks_close(struct daemon *daemon); /* saves that, and frees */

/* ---- daemon_fingerprints.c ---- */

void fingerprints_enter(struct daemon *daemon);		   /* an instance was opened */
size_t fingerprints_learn(struct daemon *daemon);	   /* often: how many clients were new */
void fingerprints_keep(struct daemon *daemon, bool flush); /* saves them when there are new ones */

/* ---- daemon_connections.c ---- */

/* Every second: counts open connections again when it is time. */
void watch_connections(struct daemon *daemon);

/* ---- daemon_slow.c ---- */

/* Every second: ends slow senders when it is time to look for them. */
void watch_slow(struct daemon *daemon);
void watch_slow_close(struct daemon *daemon);

/* ---- daemon_profiles.c ---- */

/* Every second: switches a service to what it is under attack, tells what was switched. told: as it was said
 * last. */
struct attack;
void profile_follow(struct daemon *daemon, __u16 row, const char *service, const struct attack *attack, bool *told);

/* ---- daemon_ledger.c ---- */

void ledger_begin(struct daemon *daemon, const char *log); /* after the state was read */
void ledger_enter(struct daemon *daemon);		   /* a ring was opened */
void ledger_look(struct daemon *daemon);		   /* every second, and before a ring is closed for good */
void ledger_leave(struct daemon *daemon);		   /* the ring is gone; without one, nothing */

/* ---- daemon_sinks.c ---- */

int sinks_add(struct daemon *daemon, const char *target); /* 0 or -errno; before the loop */
void sinks_offer(struct daemon *daemon, const json_t *document, const char *line);
void sinks_run(struct daemon *daemon);	/* often: never waits */
void sinks_look(struct daemon *daemon); /* their counts into the metrics */
void sinks_tell_losses(struct daemon *daemon);
void sinks_close(struct daemon *daemon);

/* ---- daemon_summary.c ---- */

void summary_look(struct daemon *daemon, bool flush); /* every second: sums up when it is time, or (flush) worth it */
void summary_close(struct daemon *daemon);

/* ---- daemon_watch.c ---- */

/* Opens or closes the instance as pins come and go; notes what the kernel did by itself. */
void watch_instance(struct daemon *daemon);
void watch_close(struct daemon *daemon);
/* After something of the host changed: own addresses and forwarding into the kernel, interfaces that the policy in
 * force wants attached. */
void watch_links(struct daemon *daemon);

/* ---- daemon_metrics.c ---- */

/* Serves where the policy in force says, and goes on there while none is. Called every second. */
void metrics_follow(struct daemon *daemon);
void metrics_stop(struct daemon *daemon);

#endif
