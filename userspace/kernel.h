/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The only door to the kernel's BPF side: kernel.c (an instance and its pins), kernel_load.c (generations),
 * kernel_state.c (bans, counters). Nothing else in userspace/ includes libbpf. Functions return 0 or -errno; what
 * went wrong is in kernel_words() of the calling thread, one line: what failed, on what, why, what to do.
 */
#ifndef BULWARK_KERNEL_H
#define BULWARK_KERNEL_H

#include <linux/types.h>

#include "../include/control.h"
#include "../include/state.h"
#include "hitters.h"
#include "image.h"

/* Where an instance lives. */
struct places {
	char pin_dir[256];   /* BULWARK_PIN_DIR, default /sys/fs/bpf/bulwark; the layout version is appended inside */
	char state_dir[256]; /* BULWARK_STATE_DIR, default /var/lib/bulwark */
};

struct instance; /* opaque: pinned maps and root programs of one pin directory, and the lock */

enum open_how {
	OPEN_READ = 0,	      /* -ENOENT when nothing is there */
	OPEN_WRITE = 1 << 0,  /* takes the lock (flock on the state directory), waits at most 30 s, says who holds it */
	OPEN_CREATE = 1 << 1, /* makes what is missing: bpffs mount, pins, root programs, per-boot secret */
	OPEN_EPHEMERAL = 1 << 2, /* allows a bpffs that PID 1 does not see */
	OPEN_BROKEN = 1 << 3,	 /* status, down: also one whose pins are not all there; see instance_broken() */
};
int instance_open(const struct places *places, unsigned how, struct instance **instance);
void instance_close(struct instance *instance);
const char *instance_broken(const struct instance *instance); /* what is missing of it, or "" */
bool instance_ephemeral(const struct instance *instance);
/* Gives the pins that are there to the daemon's user (daemon_user.h), or back to root. As root. */
int instance_share(const struct places *places);
bool instance_made(const struct instance *instance); /* by this opening: nothing was pinned there before */
const char *kernel_words(void);
void kernel_say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* sets the words */

/* Where the pins would be: no bpffs yet (apply mounts one), one that PID 1 sees, or one that ends (would end) with this
 * mount namespace. */
enum bpffs { BPFFS_NONE, BPFFS_OF_HOST, BPFFS_PRIVATE };
enum bpffs bpffs_look(const struct places *places);
/* Refuses kernels that lack what is needed, naming it. */
int kernel_supported(void);
/* What is used where it is there. */
struct kernel_features {
	bool tcx;		/* else a clsact filter at egress */
	bool conntrack_lookup;	/* else forwarded connections are followed by our own table */
	bool own_cookies;	/* else SYN cookies are the kernel's: bpf_sk_assign_tcp_reqsk comes with 6.8 */
	bool syncookie_helpers; /* else the kernel's own SYN cookies are not recognised */
	bool jit;
};
void kernel_features(struct kernel_features *features);

/* ---- generations (kernel_load.c) ---- */

/* A generation in memory of the kernel, not in any slot yet: a program for each hook and the maps they hold. */
struct generation; /* opaque */
/* Whether an error of generation_load() says that this process may not load programs, not that one was refused. */
bool loading_denied(int error);
/* Offline, number 0: private state, nothing of an instance. Shares the tables of its twin, or has its own (NULL). */
int generation_load(struct image *image, const struct generation *twin, struct generation **generation);
/* One that is to go live: its tables are made and filled, and its programs are loaded by another thread while this one
 * goes on, with the twin. Until it is finished or freed, the instance stays open and of the image only the services
 * change. */
int generation_begin(const struct instance *instance, const struct image *image, __u32 number,
		     struct generation **generation);
/* Waits for it, gives every service its row; what was refused is said here. */
int generation_finish(struct instance *instance, struct image *image, struct generation *generation);
/* Waits for what is still loaded, closes; what sits in a slot stays alive there. */
void generation_free(struct generation *generation);
/* 24 bits of a hash over what makes a generation beside its policy: the programs, what the host and the kernel can do,
 * what was cut out of feeds. The same policy with another mark is not unchanged. */
__u32 generation_mark(const struct image *image);
/* instruction and size figures for check --json and the verifier table */
struct program_figures {
	char name[32];
	unsigned instructions, jited_bytes, verified_instructions;
};
int generation_figures(const struct generation *generation, struct program_figures figures[HOOK_COUNT]);

/* Puts it into a free slot (neither active nor fallback) and switches with one store. timeout_ms 0: for good, else the
 * kernel goes back at the deadline. */
int generation_switch(struct instance *instance, struct generation *generation, const struct slot_info *info,
		      __u64 timeout_ms);

/* The control word and slots, evaluated. */
struct control_state {
	__u32 active, fallback; /* slots; SLOT_NONE, SLOT_PAUSED are possible */
	__u64 remaining_ms;	/* of a pending confirm or of a pause; 0: none */
	bool reverted;		/* a deadline had passed and was made good now */
	struct slot_info slots[SLOT_COUNT];
	bool slot_holds[HOOK_COUNT][SLOT_COUNT]; /* a program is really there */
};
int control_read(struct instance *instance, struct control_state *state);
int control_confirm(struct instance *instance);			/* -ENOENT: nothing pending */
int control_fall_back(struct instance *instance);		/* -ENOENT: nothing pending */
int control_pause(struct instance *instance, __u64 timeout_ms); /* -EBUSY while a confirm is pending */
int control_resume(struct instance *instance);

/* Offline judgement of one frame by the real program at a virtual time. */
int generation_judge(struct generation *generation, const void *frame, size_t length, __u64 time_ns,
		     struct decision *decision);
/* The descriptor of the XDP program, which stays the generation's; its clock is that of the last generation_judge(). */
int generation_program(const struct generation *generation);
/* Offline: what one frame costs, in ns, as the kernel itself measures it over many runs. A NULL generation: a program
 * that passes everything, to compare with. */
int generation_measure(struct generation *generation, const void *frame, size_t length, unsigned repeat, __u32 *ns);
/* Offline: the frame leaves this host (runs the egress program, so that answers are known). The decision is a drop, or
 * zero but for what would drop it. */
int generation_sent(struct generation *generation, const void *frame, size_t length, __u64 time_ns,
		    struct decision *decision);
/* Offline: puts a connection into the table. state: CONNECTION_*. */
int generation_connection(struct generation *generation, const struct connection_key *key, __u8 state);
/* Offline: the zone that packets come in by from now on; 0: none. */
void generation_zone(struct generation *generation, unsigned zone);
/* Offline: services are held as `under-attack` says, or as in peace. */
void generation_profile(struct generation *generation, bool under_attack);
/* Offline: this host's own addresses; none: every destination is. */
int generation_own(struct generation *generation, const struct prefix *addresses, size_t count);

/* ---- interfaces ---- */

struct attachment {
	unsigned ifindex;
	char name[16];
	bool xdp, native, egress, ingress; /* ours, live */
	bool needs_ingress;		   /* a policy in force, or one the kernel may go back to, needs it */
	bool egress_is_tcx;
	__u32 other_xdp_id; /* another program sits there; 0: none */
	char other_xdp_name[32];
	char why_generic[128]; /* "" when native */
	char trouble[128];     /* link is defunct, pin is missing, ... or "" */
};
static inline bool attachment_whole(const struct attachment *attachment)
{
	return attachment->xdp && attachment->egress && (attachment->ingress || !attachment->needs_ingress);
}
/* The hooks (1 << enum hook) that an image needs; that the policies which may be in force need. */
unsigned image_hooks(const struct image *image);
unsigned instance_hooks(const struct instance *instance);
/* mode as in struct policy. Never displaces another program (-EBUSY with its name and id). Idempotent. */
int interface_attach(struct instance *instance, const struct host_link *link, int mode, unsigned hooks,
		     struct attachment *attachment);
int interface_detach(struct instance *instance, const char *name);
/* The program on the cgroup that everything is in (kernel_sockops.c). Idempotent. */
int sockops_attach(struct instance *instance);
bool sockops_attached(struct instance *instance);
/* Takes the programs of hooks that no policy needs any more off again. */
void hooks_leave(struct instance *instance);
/* What the interface has now; -EBUSY with words when another XDP program sits there. Changes nothing. */
int interface_look(struct instance *instance, const char *name, struct attachment *attachment);
/* Programs of whomever on the packets' way at this host, ours among them. Owned by the caller (free). ifindex 0: those
 * of the cgroup that everything is in (sockops). instance (may be NULL) knows which are ours. */
struct packet_program {
	const char *hook; /* "xdp", "tcx ingress", "tc egress filter", "sockops", ... */
	__u32 id;
	char name[64];
	bool ours;
};
int packet_programs(struct instance *instance, unsigned ifindex, struct packet_program **programs, size_t *count);
/* What is attached by us now: every pin, and whether it is live. Owned by the caller (free). */
int interfaces_attached(struct instance *instance, struct attachment **attachments, size_t *count);
/* Writes rows, mtu, own addresses, and whether this host forwards, into the state. */
int instance_know_host(struct instance *instance, const struct host *host);
/* Which zone packets are in, for the programs of a generation: before it is live, and again whenever interfaces come
 * and go (kernel_zones.c). Rows of generations that are in no slot go. 0 or -errno. */
struct zone_member;
int zones_write(struct instance *instance, __u32 generation, const struct zone_member *members, size_t count);
/* As the programs of a generation know them. The caller's (free). */
int zones_read(const struct instance *instance, __u32 generation, struct zone_member **members, size_t *count);
/* What the programs believe of the last one. */
int instance_forwards(const struct instance *instance, bool *forwards);
/* Detaches everything, removes every pin and the pin directory; our bpffs mount too if we made it. */
int instance_down(struct instance *instance);

/* ---- state (kernel_state.c) ---- */

struct counter_row {
	char interface[16];
	unsigned verdict, reason;
	struct counter counter;
};
int counters_read(struct instance *instance, struct counter_row **rows,
		  size_t *count); /* non-zero ones, summed over CPUs */
struct service_row {
	char name[64];
	unsigned verdict;
	struct counter counter;
};
int service_counters_read(struct instance *instance, struct service_row **rows, size_t *count);
struct service_load { /* what came to a service so far, by what it proved */
	__u16 row;
	char name[64];
	struct counter counters[VERDICT_COUNT][PROOF_COUNT];
};
/* Of every service that has a row, packets or not. The caller's (free). */
int service_loads_read(struct instance *instance, struct service_load **loads, size_t *count);
struct stance_row {
	__u16 row;
	char name[64]; /* "" in row 0: what belongs to no service */
	struct stance stance;
	struct profile_switch profile;
};
/* How things stand: row 0, and every service that has a row. The caller's (free). */
int stances_read(struct instance *instance, struct stance_row **rows, size_t *count);
int stance_read(struct instance *instance, __u16 row, struct stance *stance);
int stance_write(struct instance *instance, __u16 row, const struct stance *stance);
/* The switch of a service's profile; row 0: of all, by hand. */
int profile_read(struct instance *instance, __u16 row, struct profile_switch *profile);
static inline bool profile_is_on(const struct profile_switch *profile, __u64 now_ns)
{
	return profile->until_ns > now_ns;
}
/* Switched on until then (again: only the end moves), or off. One store decides. by may be NULL. */
#define PROFILE_BY_DETECTION "detection"
int profile_set(struct instance *instance, __u16 row, __u64 until_ns, const char *by);
/* By hand: no profile is in force any more, and attacks of before bring none back. */
int profiles_lift(struct instance *instance);
__u64 stance_now_ns(void); /* CLOCK_MONOTONIC, as stances have it */
/* "syn-flood", or the name of a reason */
const char *cause_name(unsigned cause);
struct armed_row { /* a service that answers with SYN cookies now */
	char name[64];
	__u64 for_ns; /* since when */
};
int armed_read(struct instance *instance, struct armed_row **rows, size_t *count);
const char *service_name(struct instance *instance, __u32 row, char name[64]); /* "" when it has none */
__u16 service_row(struct instance *instance, const char *name);		       /* 0: none of that name */
/* Sources whose open connection met a drop in the last 5 minutes; at most 8192 are told apart. */
int proven_drops_read(struct instance *instance, __u64 *clients);
int fallthrough_read(struct instance *instance, __u64 packets[HOOK_COUNT]);
int fallthrough_forget(struct instance *instance); /* counts from now on */
struct telling_row {
	unsigned reason;
	struct telling telling;
};
int telling_read(struct instance *instance, struct telling_row **rows, size_t *count);

/* Packets of the last time, by sample (hitters.h makes rates of them). The caller's (free). */
int samples_read(struct instance *instance, __u64 window_ns, struct weighed_sample **samples, size_t *count);

/* How full the tables are. Of tables of lines a part is looked at, another one each time: entries are an estimate. */
struct table_row {
	const char *name;
	__u64 entries, capacity;
};
#define TABLE_ROWS 7
int tables_look(struct instance *instance, struct table_row rows[TABLE_ROWS], unsigned turn);

/* Counts bans and exceptions in force, at most `most` entries a call: a round over a million takes several. Counts are
 * those of the last whole round. All zero to begin with. */
struct holds_census {
	__u64 bans, allows;
	__u64 running_bans, running_allows; /* of the round under way */
	__u32 place;			    /* in the map; meaningful while under_way */
	bool under_way;
};
int holds_count(struct instance *instance, struct holds_census *census, __u32 most);
/* The same for bans that the shield made by itself; census->allows stays 0. */
int automatic_count(struct instance *instance, struct holds_census *census, __u32 most);

struct hold_row {
	struct prefix prefix;
	struct hold hold;
	struct hold_note note;
	bool automatic; /* the shield's own: its origin is ORIGIN_AUTOMATIC */
};
#define ORIGIN_AUTOMATIC "auto"
/* Every ban and exception in force but the shield's own, in no order and one at a time: a million rows are 300 MiB.
 * Ends with the first visit that is not 0, and returns that. */
int holds_each(struct instance *instance, int (*visit)(void *arg, const struct hold_row *row), void *arg);
int hold_ban(struct instance *instance, const struct prefix *prefix, __u64 for_ns, const char *origin,
	     const char *reason);
/* All of them, or none. prefixes: sorted, no two alike. */
int holds_ban(struct instance *instance, const struct prefix *prefixes, size_t count, __u64 for_ns, const char *origin,
	      const char *reason);
/* A ban with times of its own, CLOCK_BOOTTIME ns. */
struct hold_wanted {
	struct prefix prefix;
	__u64 until_ns, since_ns;
};
/* Likewise: all of them, or none; sorted, no two alike. */
int holds_restore(struct instance *instance, const struct hold_wanted *wanted, size_t count, const char *origin,
		  const char *reason);
int hold_allow(struct instance *instance, const struct prefix *prefix, __u64 for_ns, const char *by,
	       const char *reason);
int hold_unban(struct instance *instance, const struct prefix *prefix); /* -ENOENT */
int hold_unban_origin(struct instance *instance, const char *origin, size_t *lifted);
int hold_disallow(struct instance *instance, const struct prefix *prefix); /* -ENOENT */
int holds_read(struct instance *instance, struct hold_row **rows,
	       size_t *count);			/* unexpired, sorted; drops expired ones when the lock is held */
__u32 holds_changes(struct instance *instance); /* another number: a ban or an exception came or was lifted */
__u64 boottime_ns(void);

/* ---- what the shield banned by itself (kernel_automatic.c) ---- */

struct automatic_row {
	struct prefix prefix;
	struct automatic_ban ban; /* over, but remembered, when until_ns has passed */
};
int automatic_read(struct instance *instance, struct automatic_row **rows, size_t *count); /* in no order */
int automatic_sweep(struct instance *instance); /* forgets those whose time is over */
/* Lifts and forgets what covers an address, or is the prefix itself; -ENOENT without words. */
int automatic_unban(struct instance *instance, const struct prefix *prefix);
int automatic_restore(struct instance *instance, const struct automatic_row *row); /* leaves alone what is there */
/* "rate-packets on public-api, ban number 2" */
const char *automatic_words(struct instance *instance, const struct automatic_ban *ban, char *words, size_t size);

/* ---- TLS clients by the number of their hellos (kernel_fingerprints.c) ---- */

struct sighting_row {
	__u64 number;
	struct sighting sighting;
};
/* Those nobody knows yet, at most so many; they are taken out. */
size_t sightings_take(struct instance *instance, struct sighting_row *rows, size_t most);
struct fingerprint_row {
	__u64 number;
	struct fingerprint fingerprint;
};
int fingerprints_read(struct instance *instance, struct fingerprint_row **rows, size_t *count); /* the caller's */
/* One that is there stays as it is; when there is no room, those that were not seen for longest go. */
int fingerprint_learn(struct instance *instance, const struct fingerprint_row *row);

/* ---- what became of connections (kernel_accounts.c) ---- */

struct connections_row {
	char name[64]; /* of the service */
	struct connection_sums sums;
};
/* Of services that had one while they were counted, sorted. The caller's (free). */
int connections_read(struct instance *instance, struct connections_row **rows, size_t *count);
static inline __u64 connections_now(const struct connection_sums *sums)
{
	__u64 closed = 0;

	for (int end = 0; end < END_COUNT; end++)
		closed += sums->closed[end];
	return sums->opened > closed ? sums->opened - closed : 0;
}

/* Drains the event ring without blocking or waits on its fd. */
struct event_ring;
/* number: of the event since the ring was made, from 1. Who dies in here gets the same one again. */
typedef void event_teller(void *arg, const struct event *event, __u64 number);
int event_ring_open(struct instance *instance, event_teller *tell, void *arg, struct event_ring **ring);
__u64 event_ring_taken(const struct event_ring *ring);	 /* since it was made */
__u64 event_ring_waiting(const struct event_ring *ring); /* in it now */
int event_ring_fd(struct event_ring *ring);
int event_ring_drain(struct event_ring *ring); /* number of events or -errno */
void event_ring_close(struct event_ring *ring);

/* What a source owes a limit per source or prefix of the live generation. */
struct limit_state {
	char service[64];
	__u16 rule;
	__u8 kind;    /* enum limit_kind */
	bool proven;  /* the account of its open connections */
	bool over;    /* its next packet is too much */
	double spent; /* share of the burst */
	__s64 open;   /* LIMIT_CONNECTIONS: how many there are */
	__u64 most;   /* and may be */
};
/* Those that it owes anything. The caller's (free). */
int live_limits(struct instance *instance, const struct prefix *address, struct limit_state **states, size_t *count);

/* Open connections, counted again. -ENOENT: no policy in force limits them, or it protects another network namespace.
 * recount_end() frees; the counts become what was found only when all of it was. */
struct recount; /* opaque */
int recount_begin(struct instance *instance, struct recount **recount);
int recount_found(struct recount *recount, const struct open_connection *connection, __u32 operation);
int recount_end(struct recount *recount, bool settle);
/* How old the last recount is; ~0: there was none. -ENOENT as above. */
int recount_age(struct instance *instance, __u64 *age_ns);

/* Slow senders (include/state.h). -ENOENT: the policy in force, or its pause, ends none, or it protects another network
 * namespace. slow_close() frees. */
struct slow_judge; /* opaque */
int slow_open(struct instance *instance, struct slow_judge **judge);
__u32 slow_shortest_ms(const struct slow_judge *judge); /* of the limits in force */
/* Fills in the answers of the first `count` in found, at most SLOW_FOUND_PORTION. only_counts: nobody is said to have
 * been ended. 0 or -errno. */
int slow_ask(struct slow_judge *judge, struct slow_found *found, bool only_counts);
int slow_looked(struct slow_judge *judge, const struct slow_looks *looks); /* what the look was, for all to read */
void slow_close(struct slow_judge *judge);
/* What the daemon said of its last look. -ENOENT: the policy in force has no such limit. */
int slow_looks_read(struct instance *instance, struct slow_looks *looks);

/* The class and the tables of the live generation, for lookup: what lists cover an address. */
int live_class(struct instance *instance, const struct prefix *address, struct class_entry *class);

#endif
