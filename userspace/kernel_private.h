/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files behind kernel.h share. Only kernel*.c include this. */
#ifndef BULWARK_KERNEL_PRIVATE_H
#define BULWARK_KERNEL_PRIVATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#include "kernel.h"

/* Every pinned map, under its name. */
#define PINNED_MAPS(MAP)                                                                                               \
	MAP(control)                                                                                                   \
	MAP(slots)                                                                                                     \
	MAP(xdp_slots)                                                                                                 \
	MAP(egress_slots)                                                                                              \
	MAP(ingress_slots)                                                                                             \
	MAP(sockops_slots)                                                                                             \
	MAP(counters)                                                                                                  \
	MAP(service_counters)                                                                                          \
	MAP(service_names)                                                                                             \
	MAP(stances)                                                                                                   \
	MAP(profiles)                                                                                                  \
	MAP(fallthrough)                                                                                               \
	MAP(interfaces)                                                                                                \
	MAP(zones)                                                                                                     \
	MAP(host_facts)                                                                                                \
	MAP(own_addresses)                                                                                             \
	MAP(holds)                                                                                                     \
	MAP(hold_notes)                                                                                                \
	MAP(hold_lengths)                                                                                              \
	MAP(hold_tables)                                                                                               \
	MAP(hold_batches)                                                                                              \
	MAP(automatic_bans)                                                                                            \
	MAP(offences)                                                                                                  \
	MAP(flows)                                                                                                     \
	MAP(half_open)                                                                                                 \
	MAP(open_counts)                                                                                               \
	MAP(open_found)                                                                                                \
	MAP(open_checked)                                                                                              \
	MAP(routed)                                                                                                    \
	MAP(slow_found)                                                                                                \
	MAP(slow_looks)                                                                                                \
	MAP(known)                                                                                                     \
	MAP(unanswered)                                                                                                \
	MAP(cookie_cells)                                                                                              \
	MAP(fragments)                                                                                                 \
	MAP(budgets)                                                                                                   \
	MAP(limiters)                                                                                                  \
	MAP(service_cells)                                                                                             \
	MAP(samples)                                                                                                   \
	MAP(proven_drops)                                                                                              \
	MAP(sightings)                                                                                                 \
	MAP(fingerprints)                                                                                              \
	MAP(accounts)                                                                                                  \
	MAP(closings)                                                                                                  \
	MAP(near_sums) MAP(connection_sums) MAP(telling) MAP(packet_samples) MAP(sample_turns) MAP(events) MAP(origin)
enum pinned_map {
#define MAP(name) MAP_##name,
	PINNED_MAPS(MAP)
#undef MAP
		PINNED_MAP_COUNT,
};
extern const char *const pinned_map_names[PINNED_MAP_COUNT];

/* The root programs stand in the order of enum hook. */
enum pinned_program {
	PROGRAM_ROOT_XDP,
	PROGRAM_ROOT_EGRESS,
	PROGRAM_ROOT_INGRESS,
	PROGRAM_ROOT_SOCKOPS,
	PROGRAM_STEER,
	PINNED_PROGRAM_COUNT
};
_Static_assert((int)PROGRAM_STEER == (int)HOOK_COUNT, "a root program for every hook, and nothing in between");
extern const char *const pinned_program_names[PINNED_PROGRAM_COUNT];

/* The table by which programs know at once what is held (kernel_hold_lines.c); lines NULL: there is none. */
struct hold_table {
	struct hold_line *lines;
	size_t bytes;
	__u32 line_count; /* 0: none, or those of another version, which are left as they are */
	__u32 id;	  /* of the map */
	__u64 key;	  /* of its hashes */
};

struct instance {
	struct places places;
	char base[280];	 /* the pin directory of this layout */
	char links[300]; /* the links' pins within it */
	unsigned how;
	int lock; /* descriptor that holds the flock, or -1 */
	int maps[PINNED_MAP_COUNT];
	int programs[PINNED_PROGRAM_COUNT];
	__u32 root_ids[HOOK_COUNT]; /* program ids of the roots */
	struct origin origin;
	struct hold_table table; /* mapped once it was asked for */
	char broken[1024];	 /* what is missing, "" when whole */
	bool made;		 /* by this opening */
	bool foreign;		 /* made in another network namespace: interface names and indices mean nothing here */
};

/* A lookup table of an image, and the map of the programs that it becomes (kernel_load.c). */
struct table {
	const char *name; /* of the map */
	const void *items;
	size_t size, count;
	bool of_instance; /* rows differ between an offline generation and a live one: never shared */
};
#define TABLE_COUNT 24
void tables_of(const struct image *image, struct table list[TABLE_COUNT]);

/* Which programs a generation with these constants is made of, said to the open object before it is loaded. */
struct shield_bpf;
void generation_programs(struct shield_bpf *shield);

#define cleanup_fd __attribute__((cleanup(close_fd)))
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* bpf(2) link type and attach types newer than the headers this may be built with. */
#define ATTACH_TCX_INGRESS ((enum bpf_attach_type)46)
#define ATTACH_TCX_EGRESS ((enum bpf_attach_type)47)

bool kernel_has_tcx(void);
bool kernel_has_ct_lookup(void);
bool kernel_has_ipsec(void);
bool kernel_has_syncookie_helpers(void);
bool kernel_has_own_cookies(void);
/* -EPERM with the names of the capabilities that are missing for opening an instance like this. */
int capabilities_needed(unsigned how);
/* What libbpf last complained about (the verifier's last line among it), or "". */
const char *libbpf_words(void);
void libbpf_quiet(void);
/* Waits until no packet is in a program that read the control word before this call. */
void wait_for_packets(void);
int steer(struct instance *instance, struct steer_request *request);
int control_switch(struct instance *instance, __u32 slot, __u64 timeout_ms);
/* Empties the slots that the word names neither as active nor as fallback. */
int slots_sweep(struct instance *instance, __u64 word);
__u32 slot_in_force(const struct control_state *state);
int program_id(int fd, __u32 *id);
/* Program in a slot of a hook, 0 when there is none. */
extern const enum pinned_map slot_maps[HOOK_COUNT];
__u32 slot_program(const struct instance *instance, enum hook hook, __u32 slot);
extern const char constants_map[];
extern const size_t constants_offset;
/* Gives every service its row in the counters (kernel_live.c). */
int service_rows_take(struct instance *instance, struct image *image, __u32 number);
void stance_clear(struct instance *instance, __u32 row); /* kernel_stances.c */
/* What tells the programs which holds and automatic bans there are; NULL with words. */
struct hold_lengths *lengths_map(const struct instance *instance);
void lengths_unmap(struct hold_lengths *lengths);
int length_add(struct hold_lengths *lengths, __u32 length); /* -E2BIG with words */
void length_drop(struct hold_lengths *lengths, __u32 length);
void holds_changed(struct hold_lengths *lengths);
struct hold_key hold_key_of(const struct prefix *prefix);
/* Every hold, expired ones too, until an error, which is returned; walk's own is its to say in words. */
int holds_walk(struct instance *instance, int (*walk)(void *arg, const struct hold_key *key, const struct hold *hold),
	       void *arg);
int hold_table_open(struct instance *instance); /* as it is now; silent */
/* With room for so many holds, and all of those now in `holds`; or none any more, for programs neither. */
void hold_table_for(struct instance *instance, __u32 holds);
void hold_table_close(struct instance *instance);
/* before and after: what is held of the prefix, NULL: nothing. */
void hold_table_change(struct hold_table *table, const struct hold_key *key, const struct hold *before,
		       const struct hold *after);
int path_remove(const char *path); /* a tree; what is not there is fine */
/* The mount point of the bpffs that path is in. */
void bpffs_root(const char *path, char *root, size_t size);
/* bpf_obj_pin(), and the daemon's group may open it. */
int pin_object(int fd, const char *path);
/* A map whose pin is missing, made and pinned: its descriptor, or -errno; -EUCLEAN: it must not be, programs in force
 * use another one. The instance's programs are open. */
int map_add(const struct instance *instance, enum pinned_map number);
/* What root made, for the daemon's user; the bpffs for root alone again, unless another instance needs it. */
int pins_share(const struct places *places, const char *base);
void bpffs_unshare(const char *root);
/* A per-CPU array read in one call where the kernel can, else element by element: [entries][cpus]. The caller's. */
void *percpu_read(int map, __u32 entries, size_t value, int *cpus);
/* Every value of an array map, in one call where the kernel can; the caller's, or NULL. */
void *array_read(int map, __u32 entries, size_t value);
struct interface_entry *entries_read(const struct instance *instance); /* all of the map; the caller's, or NULL */
/* Enters an interface into the map of interfaces; flags are added to those it has. */
int interface_enter(struct instance *instance, const struct host_link *link, __u32 flags);
/* -EXDEV with words where the pins are those of another network namespace. */
int refuse_foreign(const struct instance *instance);
/* Removes our clsact filters, and the qdisc that we made for them; of one interface, of all. */
void clsact_filters_forget(struct instance *instance, unsigned ifindex);
void clsact_filters_forget_all(struct instance *instance);
/* Detaches a pinned link and removes its pin (kernel_attach.c). */
int link_remove(const char *path);
/* Takes the program off TC ingress of one interface (kernel_attach.c). */
void ingress_detach(struct instance *instance, const struct attachment *attachment);
/* Programs of the generation in a slot that the daemon runs: "recount", "slow" (kernel_recount.c). Pins one; -1: only
 * unpins what was there. */
int slot_program_pin(const struct instance *instance, const char *name, __u32 slot, int program);
/* Its descriptor, or -errno; -ENOENT: that generation has none. */
int slot_program_open(const struct instance *instance, const char *name, __u32 slot);
/* Before a switch: where the generation in this slot counts none, what is counted refuses nobody until it is checked,
 * and nothing is known of what is routed. */
int recount_doubt(const struct instance *instance, __u32 slot);
/* Runs it; tells it of connections first: the portion is empty afterwards. */
int recount_run(int program, __u32 operation);
int recount_tell(int program, int found, struct open_found *portion, __u32 operation);
/* The mount point of cgroup2, opened; -1 where there is none. */
int cgroup_open(void);
__u64 netns_cookie(void);

#endif
