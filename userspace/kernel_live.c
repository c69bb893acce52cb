/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tables of generations that are live, reached through the program in the slot: nothing of them is pinned. */
#include "kernel_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../include/sip.h"

#define PROGRAM_MAPS_MAX 64

/* A map that the program in a slot uses, by name (the kernel keeps 15 characters). A descriptor, or -errno. */
static int live_map(const struct instance *instance, __u32 slot, const char *name, struct bpf_map_info *about)
{
	__u32 ids[PROGRAM_MAPS_MAX], size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info program = {.nr_map_ids = PROGRAM_MAPS_MAX, .map_ids = (unsigned long)ids};
	cleanup_fd int fd = bpf_prog_get_fd_by_id(slot_program(instance, HOOK_XDP, slot));

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &program, &size))
		return -errno;
	for (__u32 i = 0; i < program.nr_map_ids && i < PROGRAM_MAPS_MAX; i++) {
		int map = bpf_map_get_fd_by_id(ids[i]);

		memset(about, 0, sizeof(*about));
		size = sizeof(*about);
		if (map >= 0 && !bpf_obj_get_info_by_fd(map, about, &size) &&
		    !strncmp(about->name, name, BPF_OBJ_NAME_LEN - 1))
			return map;
		close_fd(&map);
	}
	return -ENOENT;
}

/* Calls seen for each service row that a slot's generation uses. */
static void rows_in_slot(const struct instance *instance, __u32 slot, bool used[SERVICE_ROWS])
{
	struct bpf_map_info about;
	cleanup_fd int fd = live_map(instance, slot, "services", &about);
	struct service_entry entry;

	if (fd < 0 || about.value_size != sizeof(entry))
		return;
	for (__u32 i = 1; i < about.max_entries; i++)
		if (!bpf_map_lookup_elem(fd, &i, &entry) && entry.row < SERVICE_ROWS)
			used[entry.row] = true;
}

/* What became of its connections. */
static void sums_clear(struct instance *instance, __u32 row)
{
	int cpus = libbpf_num_possible_cpus();
	struct connection_sums *none = row < NEAR_ROWS && cpus > 0 ? calloc(cpus, sizeof(*none)) : NULL;

	if (none)
		bpf_map_update_elem(instance->maps[MAP_near_sums], &row, none, BPF_ANY);
	else
		bpf_map_delete_elem(instance->maps[MAP_connection_sums], &row);
	free(none);
}

static int row_give(struct instance *instance, __u32 row, const char *name, __u32 number, bool clear)
{
	struct service_name entry = {.generation = number};
	int cpus = libbpf_num_possible_cpus();
	struct counter *none = clear && cpus > 0 ? calloc(cpus, sizeof(*none)) : NULL;

	for (__u32 index = SERVICE_COUNTER(row, 0, 0); none && index < SERVICE_COUNTER(row + 1, 0, 0); index++)
		bpf_map_update_elem(instance->maps[MAP_service_counters], &index, none, BPF_ANY);
	free(none);
	if (clear) {
		stance_clear(instance, row);
		sums_clear(instance, row);
	}
	snprintf(entry.name, sizeof(entry.name), "%s", name);
	return bpf_map_update_elem(instance->maps[MAP_service_names], &row, &entry, BPF_ANY) ? -errno : 0;
}

static int name_row(struct instance *instance, struct service_name *names, const bool *used, const char *name,
		    __u32 number, __u32 *row)
{
	__u32 free_row = 0, old_row = 0;
	bool taken_over;

	for (__u32 i = 1; i < SERVICE_ROWS; i++) {
		if (!strncmp(names[i].name, name, sizeof(names[i].name) - 1) && *names[i].name) {
			*row = i;
			names[i].generation = number;
			return row_give(instance, i, name, number, false);
		}
		if (!*names[i].name)
			free_row = free_row ?: i;
		else if (!used[i] && names[i].generation != number &&
			 (!old_row || names[i].generation < names[old_row].generation))
			old_row = i;
	}
	*row = free_row ?: old_row;
	taken_over = !free_row;
	if (!*row) {
		kernel_say("no counter row is left for service '%s': %d names are in use", name, SERVICE_ROWS - 1);
		return -ENOSPC;
	}
	snprintf(names[*row].name, sizeof(names[*row].name), "%s", name);
	names[*row].generation = number;
	return row_give(instance, *row, name, number, taken_over);
}

/* A service keeps its row as long as its name is known; only when all are taken, the row of a name that no live or
 * pending generation uses is cleared and given away, the oldest first. */
int service_rows_take(struct instance *instance, struct image *image, __u32 number)
{
	struct service_name *names =
		array_read(instance->maps[MAP_service_names], SERVICE_ROWS, sizeof(struct service_name));
	bool used[SERVICE_ROWS] = {};
	int error = names ? 0 : -ENOMEM;

	for (__u32 slot = 0; !error && slot < GENERATION_SLOTS; slot++)
		rows_in_slot(instance, slot, used);
	for (size_t i = 1; !error && i < image->service_count; i++)
		error = name_row(instance, names, used, image->service_names[i], number, &image->services[i].row);
	for (size_t i = 1; image->config.profile_shift && i < image->service_count; i++)
		image->services[i + image->config.profile_shift].row = image->services[i].row;
	free(names);
	return error;
}

const char *service_name(struct instance *instance, __u32 row, char name[64])
{
	struct service_name entry = {};

	if (row && bpf_map_lookup_elem(instance->maps[MAP_service_names], &row, &entry))
		*entry.name = '\0';
	memcpy(name, entry.name, sizeof(entry.name));
	name[sizeof(entry.name) - 1] = '\0';
	return name;
}

__u16 service_row(struct instance *instance, const char *name)
{
	struct service_name *names =
		array_read(instance->maps[MAP_service_names], SERVICE_ROWS, sizeof(struct service_name));
	__u16 row = 0;

	for (__u16 i = 1; names && !row && i < SERVICE_ROWS; i++)
		if (*name && !strncmp(names[i].name, name, sizeof(names[i].name)))
			row = i;
	free(names);
	return row;
}

/* ---- what the live tables say of an address ---- */

/* A table as a plain array of its items, copied; NULL with count 0 when it holds nothing. */
static void *live_table(const struct instance *instance, __u32 slot, const char *name, size_t size)
{
	struct bpf_map_info about;
	cleanup_fd int fd = live_map(instance, slot, name, &about);
	size_t page = sysconf(_SC_PAGESIZE), stride, length;
	char *memory, *items;

	if (fd < 0 || about.value_size % size)
		return NULL;
	stride = (about.value_size + 7) & ~7ul;
	length = (stride * about.max_entries + page - 1) & ~(page - 1);
	memory = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return NULL;
	items = malloc((size_t)about.value_size * about.max_entries);
	for (size_t i = 0; items && i < about.max_entries; i++)
		memcpy(items + i * about.value_size, memory + i * stride, about.value_size);
	munmap(memory, length);
	return items;
}

static int live_constants(const struct instance *instance, __u32 slot, struct generation_config *config)
{
	struct bpf_map_info about;
	cleanup_fd int fd = live_map(instance, slot, constants_map, &about);
	char *data = fd < 0 ? NULL : calloc(1, about.value_size);
	__u32 zero = 0;
	int error =
		data && about.value_size >= constants_offset + sizeof(*config) && !bpf_map_lookup_elem(fd, &zero, data)
			? 0
			: -EIO;

	if (!error)
		memcpy(config, data + constants_offset, sizeof(*config));
	free(data);
	return error;
}

/* The same structure that the tables were built as, so that the look-up is the builder's own. */
static void live_tables(const struct instance *instance, __u32 slot, const struct generation_config *config,
			struct tables *t)
{
	*t = (struct tables){
		.v4_default = config->v4_default,
		.v6_default = config->v6_default,
		.v6_bits_size = config->v6_bits_size,
		.v6_deep_bits_size = config->v6_deep_bits_size,
		.v6_wide_bits_size = config->v6_wide_bits_size,
		.v6_mask32_size = config->v6_mask32_size,
		.v6_mask48_size = config->v6_mask48_size,
		.v6_deep_lines_size = config->v6_deep_lines * V6_DEEP_LINES,
		.v6_lines64_size = config->v6_lines64_size,
		.v6_lines128_size = config->v6_lines128_size,
		.v6_seed = config->v6_seed,
		.v6_wide_lengths = config->v6_wide_lengths,
		.v6_deep_lengths = config->v6_deep_lengths,
	};
	memcpy(t->v4_pairs, config->v4_pairs, sizeof(t->v4_pairs));
	memcpy(t->v6_lengths, config->v6_lengths, sizeof(t->v6_lengths));
	while (t->v6_length_count < V6_LENGTHS && t->v6_lengths[t->v6_length_count])
		t->v6_length_count++;
	if (config->have_v4) {
		t->v4_blocks = live_table(instance, slot, "v4_blocks", sizeof(*t->v4_blocks));
		if (config->v4_direct)
			t->v4_direct = live_table(instance, slot, "v4_direct", sizeof(*t->v4_direct));
		else
			t->v4_compact = live_table(instance, slot, "v4_compact", sizeof(*t->v4_compact));
		t->v4_masks = live_table(instance, slot, "v4_masks", sizeof(*t->v4_masks));
		t->v4_run_classes = live_table(instance, slot, "v4_run_classes", sizeof(*t->v4_run_classes));
	}
	if (!config->have_v6)
		return;
	if (config->have_v6_short)
		t->v6_short = live_table(instance, slot, "v6_short", sizeof(*t->v6_short));
	t->v6_heads = live_table(instance, slot, "v6_heads", sizeof(*t->v6_heads)); /* older programs have none */
	t->v6_bits = live_table(instance, slot, "v6_bits", sizeof(*t->v6_bits));
	if (config->have_v6_deep)
		t->v6_deep_bits = live_table(instance, slot, "v6_deep_bits", sizeof(*t->v6_deep_bits));
	if (config->have_v6_wide)
		t->v6_wide_bits = live_table(instance, slot, "v6_wide_bits", sizeof(*t->v6_wide_bits));
	t->v6_masks = live_table(instance, slot, "v6_masks", sizeof(*t->v6_masks));
	t->v6_mask32 = live_table(instance, slot, "v6_mask32", sizeof(*t->v6_mask32));
	t->v6_mask48 = live_table(instance, slot, "v6_mask48", sizeof(*t->v6_mask48));
	if (config->v6_deep_lines)
		t->v6_deep_lines = live_table(instance, slot, "v6_deep_lines", sizeof(*t->v6_deep_lines));
	t->v6_lines64 = live_table(instance, slot, "v6_lines64", sizeof(*t->v6_lines64));
	t->v6_lines128 = live_table(instance, slot, "v6_lines128", sizeof(*t->v6_lines128));
}

/* Of no zone; its lists are those that it is in, in any. */
static int class_read(int classes, const struct bpf_map_info *about, const struct generation_config *config,
		      __u32 index, struct class_entry *class)
{
	if (bpf_map_lookup_elem(classes, &index, class))
		return -errno;
	for (index += config->class_count; config->have_zones && index < about->max_entries;
	     index += config->class_count) {
		struct class_entry there;

		if (bpf_map_lookup_elem(classes, &index, &there))
			return -errno;
		class->lists |= there.lists;
	}
	return 0;
}

int live_class(struct instance *instance, const struct prefix *address, struct class_entry *class)
{
	struct control_state state;
	struct generation_config config;
	struct bpf_map_info about;
	struct tables tables;
	cleanup_fd int classes = -1;
	__u32 slot, index;
	int error = control_read(instance, &state);

	if (error)
		return error;
	slot = slot_in_force(&state);
	if (slot >= GENERATION_SLOTS) {
		kernel_say("no policy is live");
		return -ENOENT;
	}
	error = live_constants(instance, slot, &config);
	classes = error ? -1 : live_map(instance, slot, "classes", &about);
	if (classes < 0) {
		kernel_say("cannot reach the tables of generation %u (needs CAP_SYS_ADMIN)",
			   state.slots[slot].generation);
		return error ?: classes;
	}
	live_tables(instance, slot, &config, &tables);
	index = tables_class(&tables, address->address);
	tables_free(&tables);
	return class_read(classes, &about, &config, index, class);
}

/* ---- what a source owes its limits ---- */

struct debtor {
	const struct instance *instance;
	const struct prefix *address;
	struct generation_config config;
	__u64 now; /* as limiters have it */
	struct limit_state *states;
	size_t count;
};

static __u64 host_order(const __u8 *bytes)
{
	__u64 word = 0;

	for (int i = 0; i < 8; i++)
		word = word << 8 | bytes[i];
	return word;
}

/* Of the part of the source that the limit counts as one; as hash_counted() in bpf/limits.h. */
static __u64 hash_of_source(const struct debtor *debtor, const struct limit_entry *limit)
{
	__u32 length = prefix_is_v4(debtor->address) ? limit->v4_length + 96u : limit->v6_length;
	__u64 high = host_order(debtor->address->address), low = host_order(debtor->address->address + 8);
	struct sip s = debtor->config.hash_start;

	low = length > 64 ? low & prefix_mask64(length - 64) : 0;
	return sip_source(&s, KEY_SOURCE, high & prefix_mask64(length), low, length, prefix_is_v4(debtor->address));
}

/* In units of 2^LIMITER_TIME_SHIFT ns; 0: nothing, or nobody knows it. */
static __u64 owed(const struct debtor *debtor, const struct limit_entry *limit, bool proven)
{
	const __u64 times = (1ULL << LIMITER_TIME_BITS) - 1, prints = (1ULL << (64 - LIMITER_TIME_BITS)) - 1;
	__u64 hash = hash_of_source(debtor, limit), print = ((hash >> 40) ^ (limit->id << 1 | proven)) & prints;
	__u32 index = hash & (debtor->config.limiter_lines - 1);
	struct slot_line line;

	if (bpf_map_lookup_elem(debtor->instance->maps[MAP_limiters], &index, &line))
		return 0;
	for (int i = 0; i < 8; i++) {
		__u64 ahead = (line.slot[i] - debtor->now) & times;

		if (line.slot[i] >> LIMITER_TIME_BITS == print &&
		    ahead <= debtor->config.limit_horizon_ns >> LIMITER_TIME_SHIFT)
			return ahead;
	}
	return 0;
}

static int note_state(struct debtor *debtor, const struct service_entry *service, const struct limit_state *state)
{
	struct service_name name = {};
	__u32 row = service->row;
	struct limit_state *larger = reallocarray(debtor->states, debtor->count + 1, sizeof(*larger));

	if (!larger)
		return -ENOMEM;
	debtor->states = larger;
	bpf_map_lookup_elem(debtor->instance->maps[MAP_service_names], &row, &name);
	larger[debtor->count] = *state;
	if (larger[debtor->count].spent > 1)
		larger[debtor->count].spent = 1;
	snprintf(larger[debtor->count++].service, sizeof(larger->service), "%.63s", name.name);
	return 0;
}

static int note_owed(struct debtor *debtor, const struct service_entry *service, const struct limit_entry *limit,
		     bool proven)
{
	__u64 debt_ns = owed(debtor, limit, proven) << LIMITER_TIME_SHIFT;
	struct limit_state state = {
		.rule = limit->rule,
		.kind = limit->kind,
		.proven = proven,
		.over = debt_ns > limit->tolerance_ns,
		.spent = debt_ns / (limit->tolerance_ns + limit->cost / 1024.0),
	};

	return debt_ns ? note_state(debtor, service, &state) : 0;
}

/* As open_key_make() in bpf/open_counts.h. */
static struct open_key open_key_of(const struct debtor *debtor, const struct limit_entry *limit)
{
	unsigned length = prefix_is_v4(debtor->address) ? limit->v4_length + 96u : limit->v6_length;
	struct open_key key = {.limit = limit->id};

	for (unsigned bit = 0; bit < length; bit++)
		key.address[bit / 8] |= debtor->address->address[bit / 8] & 0x80 >> bit % 8;
	return key;
}

static int note_open(struct debtor *debtor, const struct service_entry *service, const struct limit_entry *limit)
{
	struct open_key key = open_key_of(debtor, limit);
	struct open_count count;
	struct limit_state state;

	if (bpf_map_lookup_elem(debtor->instance->maps[MAP_open_counts], &key, &count) || count.open <= 0)
		return 0;
	state = (struct limit_state){
		.rule = limit->rule,
		.kind = limit->kind,
		.proven = true,
		.over = (__u64)count.open >= limit->most,
		.spent = count.open / (double)limit->most,
		.open = count.open,
		.most = limit->most,
	};
	return note_state(debtor, service, &state);
}

static int ask_service(struct debtor *debtor, int limits, const struct service_entry *service)
{
	struct limit_entry limit;
	int error = 0;

	for (__u32 i = 0; !error && i < service->limit_count; i++) {
		__u32 index = service->limits + i;

		if (bpf_map_lookup_elem(limits, &index, &limit) || limit.per != LIMIT_PER_SOURCE)
			continue;
		if (limit.kind == LIMIT_CONNECTIONS)
			error = note_open(debtor, service, &limit);
		for (int proven = 0; !error && limit.kind != LIMIT_CONNECTIONS && proven < 2; proven++)
			error = note_owed(debtor, service, &limit, proven);
	}
	return error;
}

int live_limits(struct instance *instance, const struct prefix *address, struct limit_state **states, size_t *count)
{
	struct debtor debtor = {.instance = instance, .address = address};
	struct bpf_map_info about = {}, unused;
	struct service_entry service;
	struct control_state state;
	struct timespec now;
	int error = control_read(instance, &state);
	__u32 slot = error ? SLOT_NONE : slot_in_force(&state);
	cleanup_fd int services = -1, limits = -1;

	*states = NULL;
	*count = 0;
	if (error || slot >= GENERATION_SLOTS)
		return error;
	error = live_constants(instance, slot, &debtor.config);
	services = error ? -1 : live_map(instance, slot, "services", &about);
	limits = live_map(instance, slot, "limits", &unused);
	clock_gettime(CLOCK_MONOTONIC, &now);
	debtor.now = (now.tv_sec * 1000000000ULL + now.tv_nsec) >> LIMITER_TIME_SHIFT;
	if (!error && debtor.config.profile_shift) /* the same services once more, as they are under attack */
		about.max_entries = debtor.config.profile_shift;
	for (__u32 i = 1; !error && services >= 0 && limits >= 0 && i < about.max_entries; i++)
		if (!bpf_map_lookup_elem(services, &i, &service))
			error = ask_service(&debtor, limits, &service);
	if (error) {
		free(debtor.states);
		return error;
	}
	*states = debtor.states;
	*count = debtor.count;
	return 0;
}
