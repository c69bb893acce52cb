/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generations: an image becomes two loaded programs and the maps they hold. Nothing of them is ever pinned. */
#include "kernel_private.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <xxhash.h>

#include "packet_flow.h"
#include "shield.skel.h"

/* What another thread loads while this one rehearses the twin. It changes nothing but its generation. */
struct loader {
	pthread_t thread;
	bool runs; /* the thread does, or has ended and is not joined */
	const struct instance *instance;
	const struct image *image;
	int error;
	char words[1024];
};

struct generation {
	struct shield_bpf *shield;
	int tables[TABLE_COUNT]; /* maps that its offline twin uses too; -1: of the programs alone */
	struct loader loader;
	struct open_found found; /* connections that opened or closed, offline */
	__u32 number;
	bool offline, ingress; /* ingress: what passes XDP is judged there too */
	bool counts;	       /* open connections are limited */
	bool ends_slow;	       /* slow senders are ended */
};

/* The constants of a live generation are read back through its program: the kernel's name of their map, and where. */
const char constants_map[] = "shield_b.rodata";
const size_t constants_offset = offsetof(struct shield_bpf__rodata, constants);

#define LOAD_ATTEMPTS 4
#define LOAD_PAUSE_US 10000
#define SKB_FRAME_MAX 3000 /* of a frame that leaves; the kernel takes less than a page */

/* ---- the tables ---- */

void tables_of(const struct image *image, struct table list[TABLE_COUNT])
{
	const struct tables *t = &image->tables;
	struct table all[TABLE_COUNT] = {
		{"v4_blocks", t->v4_blocks, sizeof(*t->v4_blocks), t->v4_blocks ? V4_BLOCKS : 0, false},
		{"v4_compact", t->v4_compact, sizeof(*t->v4_compact), t->v4_compact_chunks, false},
		{"v4_direct", t->v4_direct, sizeof(*t->v4_direct), t->v4_direct ? V4_NETS / V4_CHUNK : 0, false},
		{"v4_masks", t->v4_masks, sizeof(*t->v4_masks), t->v4_mask_count, false},
		{"v4_run_classes", t->v4_run_classes, sizeof(*t->v4_run_classes), t->v4_run_count, false},
		{"v6_short", t->v6_short, sizeof(*t->v6_short), t->v6_short ? V6_SHORT_MASKS : 0, false},
		{"v6_heads", t->v6_heads, sizeof(*t->v6_heads), t->v6_heads ? 1 : 0, false},
		{"v6_bits", t->v6_bits, sizeof(*t->v6_bits), t->v6_bits ? t->v6_bits_size / 64 : 0, false},
		{"v6_deep_bits", t->v6_deep_bits, sizeof(*t->v6_deep_bits), t->v6_deep_bits_size / 64, false},
		{"v6_wide_bits", t->v6_wide_bits, sizeof(*t->v6_wide_bits), t->v6_wide_bits_size / 64, false},
		{"v6_masks", t->v6_masks, sizeof(*t->v6_masks), t->v6_mask_count, false},
		{"v6_mask32", t->v6_mask32, sizeof(*t->v6_mask32), t->v6_mask32 ? t->v6_mask32_size : 0, false},
		{"v6_mask48", t->v6_mask48, sizeof(*t->v6_mask48), t->v6_mask48 ? t->v6_mask48_size : 0, false},
		{"v6_deep_lines", t->v6_deep_lines, sizeof(*t->v6_deep_lines),
		 t->v6_deep_lines ? t->v6_deep_lines_size + V6_PROBES : 0, false},
		{"v6_lines64", t->v6_lines64, sizeof(*t->v6_lines64),
		 t->v6_lines64 ? t->v6_lines64_size + V6_PROBES : 0, false},
		{"v6_lines128", t->v6_lines128, sizeof(*t->v6_lines128),
		 t->v6_lines128 ? t->v6_lines128_size + V6_PROBES : 0, false},
		{"classes", image->classes, sizeof(*image->classes), image->class_count, false},
		{"services", image->services, sizeof(*image->services),
		 image->service_count + image->config.profile_shift, true},
		{"limits", image->limits, sizeof(*image->limits), image->limit_count, false},
		{"port_services", image->port_services, sizeof(*image->port_services), PORTS_COUNT, false},
		{"tls_rules", image->tls_rules, sizeof(*image->tls_rules), image->tls_rule_count, false},
		{"http_rules", image->http_rules, sizeof(*image->http_rules), image->http_rule_count, false},
		{"quic_rules", image->quic_rules, sizeof(*image->quic_rules), image->quic_rule_count, false},
		{"names", image->names, sizeof(*image->names), image->names ? image->config.name_lines : 0, false},
	};

	memcpy(list, all, sizeof(all));
}

/* How many items one value of the map holds: one, unless the program packs small items into larger values. */
static size_t items_per_value(const struct bpf_map *map, const struct table *table)
{
	size_t value = bpf_map__value_size(map);

	return value % table->size ? 0 : value / table->size;
}

static int table_size(struct bpf_map *map, const struct table *table)
{
	size_t per_value = map ? items_per_value(map, table) : 0;
	size_t values = per_value ? (table->count + per_value - 1) / per_value : 0;

	if (!per_value || values > UINT32_MAX) {
		kernel_say("table %s does not fit the programs' map of that name", table->name);
		return -EINVAL;
	}
	return bpf_map__set_max_entries(map, values ? values : 1);
}

/* The kernel pads every value of an array to eight bytes. fd: the map's, which the object may not know yet. */
static int table_fill(const struct bpf_map *map, int fd, const struct table *table)
{
	size_t value = bpf_map__value_size(map), stride = (value + 7) & ~7ul, page = sysconf(_SC_PAGESIZE);
	size_t length = (stride * bpf_map__max_entries(map) + page - 1) & ~(page - 1);
	size_t per_value = items_per_value(map, table) ?: 1, values = (table->count + per_value - 1) / per_value;
	char *memory;

	if (!table->count)
		return 0;
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		kernel_say("cannot map table %s: %s", table->name, strerror(errno));
		return -errno;
	}
	if (value == stride)
		memcpy(memory, table->items, table->count * table->size);
	else
		for (size_t i = 0; i < values; i++)
			memcpy(memory + i * stride, (const char *)table->items + i * value,
			       i + 1 < values ? value : table->count * table->size - i * value);
	munmap(memory, length);
	bpf_map_freeze(fd); /* where the kernel can: from here on only programs reach it, and they only read */
	return 0;
}

/* Made before any program is loaded, so that twins can be loaded at the same time. */
static int table_make(struct bpf_map *map, const struct table *table, int *fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = map ? bpf_map__map_flags(map) : 0);
	int error = table_size(map, table);

	if (error)
		return error;
	*fd = bpf_map_create(bpf_map__type(map), table->name, bpf_map__key_size(map), bpf_map__value_size(map),
			     bpf_map__max_entries(map), &options);
	if (*fd < 0) {
		kernel_say("cannot make table %s: %s", table->name, strerror(errno));
		return -errno;
	}
	return table_fill(map, *fd, table);
}

static int tables_make(struct generation *generation, const struct table list[TABLE_COUNT])
{
	int error = 0;

	for (int i = 0; !error && i < TABLE_COUNT; i++)
		if (!list[i].of_instance)
			error = table_make(bpf_object__find_map_by_name(generation->shield->obj, list[i].name),
					   &list[i], &generation->tables[i]);
	return error;
}

/* made: maps that are there already, -1: none. */
static int tables_prepare(struct shield_bpf *shield, const struct table list[TABLE_COUNT], const int made[TABLE_COUNT])
{
	int error = 0;

	for (int i = 0; !error && i < TABLE_COUNT; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(shield->obj, list[i].name);

		error = map && made[i] >= 0 ? bpf_map__reuse_fd(map, made[i]) : table_size(map, &list[i]);
	}
	return error;
}

static int tables_fill(struct shield_bpf *shield, const struct table list[TABLE_COUNT], const int made[TABLE_COUNT])
{
	int error = 0;

	for (int i = 0; !error && i < TABLE_COUNT; i++) {
		struct bpf_map *map = made[i] < 0 ? bpf_object__find_map_by_name(shield->obj, list[i].name) : NULL;

		error = map ? table_fill(map, bpf_map__fd(map), &list[i]) : 0;
	}
	return error;
}

/* ---- state and constants ---- */

/* Somebody may have put a map of his own in the place of a pin: the verifier's words would be no help then. */
static int pin_fits(const struct bpf_map *map, int fd, const char *name)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size)) {
		kernel_say("cannot ask about the pinned map %s: %s", name, strerror(errno));
		return -errno;
	}
	if (info.type == bpf_map__type(map) && info.key_size == bpf_map__key_size(map) &&
	    info.value_size == bpf_map__value_size(map))
		return 0;
	kernel_say("the pin %s holds another map than the programs need: run `bulwark down`, then apply again", name);
	return -EUCLEAN;
}

/* Maps that take the kernel milliseconds to make, and that no offline program asks. */
static bool unused_offline(enum pinned_map map)
{
	return map == MAP_holds || map == MAP_hold_notes || map == MAP_service_names || map == MAP_counters ||
	       map == MAP_service_counters;
}

/* A live generation works on the pinned state; an offline one makes its own, small where nothing is asked of it. */
static int state_prepare(struct shield_bpf *shield, const struct instance *instance, bool offline,
			 const struct generation_config *config)
{
	bool have_streams = config->have_tls || config->have_http; /* first bytes are judged */
	struct bpf_map *map;
	int error = 0;

	for (int i = 0; !error && i < PINNED_MAP_COUNT; i++) {
		map = bpf_object__find_map_by_name(shield->obj, pinned_map_names[i]);
		if (!map)
			continue;
		if (!offline)
			error = pin_fits(map, instance->maps[i], pinned_map_names[i])
					?: bpf_map__reuse_fd(map, instance->maps[i]);
		else if (unused_offline(i))
			error = bpf_map__set_max_entries(map, 1);
		else if (i == MAP_events)
			error = bpf_map__set_max_entries(map, sysconf(_SC_PAGESIZE));
	}
	map = bpf_object__find_map_by_name(shield->obj, "connections");
	if (!error && map)
		error = bpf_map__set_max_entries(map, offline ? CONNECTIONS_MAX : 1);
	if (!error)
		error = bpf_map__set_max_entries(shield->maps.stream_starts,
						 offline && have_streams ? STREAMS_OFFLINE : 1);
	if (!error && offline)
		error = bpf_map__set_max_entries(shield->maps.open_lately, 1);
	if (!error)
		error = bpf_map__set_max_entries(shield->maps.partials, have_streams ? PARTIALS : 1);
	if (!error)
		error = bpf_map__set_max_entries(shield->maps.begun, have_streams ? BEGUN : 1);
	if (!error)
		error = bpf_map__set_max_entries(shield->maps.proxied, config->have_proxied ? PROXIED : 1);
	return error;
}

static void constants_set(struct generation_config *config, const struct instance *instance, const struct image *image,
			  const struct generation *generation)
{
	*config = image->config;
	config->generation = generation->number;
	config->offline = generation->offline;
	config->conntrack = !generation->offline && kernel_has_ct_lookup();
	config->decrypts = !generation->offline && judges_ingress(config) && kernel_has_ipsec();
	config->have_syncookie_helpers = kernel_has_syncookie_helpers();
	if (!generation->offline && config->cookies.format == COOKIES_OWN && !kernel_has_own_cookies())
		config->cookies.format = COOKIES_NONE;
	config->netns_cookie = netns_cookie();
	if (instance)
		memcpy(config->state_key, instance->origin.state_key, sizeof(config->state_key));
	else if (getrandom(config->state_key, sizeof(config->state_key), 0) < 0)
		config->state_key[0] = config->state_key[1] = 1; /* nobody attacks private state */
	sip_key(&config->hash_start, config->state_key[0], config->state_key[1]);
	config->tag_magic = XXH3_64bits(config->state_key, sizeof(config->state_key)) | 1;
}

__u32 generation_mark(const struct image *image)
{
	size_t size;
	const void *elf = shield_bpf__elf_bytes(&size);
	__u64 hash = XXH3_64bits(elf, size);
	__u8 host[] = {kernel_has_ct_lookup(), kernel_has_syncookie_helpers()};

	hash = XXH3_64bits_withSeed(host, sizeof(host), hash);
	if (image->config.cookies.format)
		hash = XXH3_64bits_withSeed(&image->config.cookies, sizeof(image->config.cookies), hash);
	for (size_t i = 1; image->config.cookies.format && i < image->service_count + image->config.profile_shift; i++)
		hash = XXH3_64bits_withSeed(&image->services[i].flags, 1, hash); /* which of them are armed */
	if (image->spared)
		hash = XXH3_64bits_withSeed(&image->spared, sizeof(image->spared), hash);
	for (size_t i = 0; i < image->list_count; i++) {
		const size_t sizes[] = {image->lists[i].v4, image->lists[i].v6, image->lists[i].cut};

		hash = XXH3_64bits_withSeed(sizes, sizeof(sizes), hash);
	}
	for (size_t i = 0; i < image->cuts.count && i < CUTS_TOLD; i++)
		hash = XXH3_64bits_withSeed(&image->cuts.items[i].hole, sizeof(struct prefix), hash);
	return hash >> 40;
}

/* ingress() and judge_socket() ask the same of the constants. */
void generation_programs(struct shield_bpf *shield)
{
	const struct generation_config *config = &shield->rodata->constants;
	bool judges = config->have_tags || config->have_tls || config->have_http || config->decrypts;
	bool watches_sockets = config->have_tags || config->have_open || config->have_accounts;

	bpf_program__set_autoload(shield->progs.ingress, judges);
	bpf_program__set_autoload(shield->progs.ingress_cookies, !judges);
	bpf_program__set_autoload(shield->progs.sockets, watches_sockets);
	bpf_program__set_autoload(shield->progs.sockets_idle, !watches_sockets);
	bpf_program__set_autoload(shield->progs.recount, config->have_open);
	bpf_program__set_autoload(shield->progs.slow, config->idle_request_ms && !config->offline);
	if (!kernel_has_tcx())
		return;
	bpf_program__set_expected_attach_type(shield->progs.egress, ATTACH_TCX_EGRESS);
	bpf_program__set_expected_attach_type(shield->progs.ingress, ATTACH_TCX_INGRESS);
	bpf_program__set_expected_attach_type(shield->progs.ingress_cookies, ATTACH_TCX_INGRESS);
}

static int shield_open(struct generation *generation)
{
	int error;

	if (generation->shield)
		return 0;
	generation->shield = shield_bpf__open();
	if (generation->shield)
		return 0;
	error = -errno;
	kernel_say("cannot open the programs: %s", strerror(-error));
	return error;
}

static int shield_load(struct generation *generation, const struct instance *instance, const struct image *image,
		       const int made[TABLE_COUNT])
{
	struct shield_bpf *shield = generation->shield;
	struct table list[TABLE_COUNT];
	int error;

	tables_of(image, list);
	constants_set(&shield->rodata->constants, instance, image, generation);
	error = tables_prepare(shield, list, made);
	if (!error)
		error = state_prepare(shield, instance, generation->offline, &image->config);
	if (error) {
		if (error != -EUCLEAN) /* a pin that is not ours: its words are there */
			kernel_say("cannot prepare the maps of generation %u: %s", generation->number,
				   strerror(-error));
		return error;
	}
	generation_programs(shield);
	libbpf_quiet();
	error = shield_bpf__load(shield);
	if (error)
		kernel_say("the kernel refused generation %u: %s%s%s", generation->number, strerror(-error),
			   *libbpf_words() ? ": " : "", libbpf_words());
	return error;
}

/* The verifier gives up with EAGAIN when a signal comes, and does so on a busy machine more often than libbpf tries
 * again. */
static int shield_load_at_last(struct generation *generation, const struct instance *instance,
			       const struct image *image, const int made[TABLE_COUNT])
{
	int error = -EAGAIN;

	for (int attempt = 0; error == -EAGAIN && attempt < LOAD_ATTEMPTS; attempt++) {
		if (attempt)
			usleep(LOAD_PAUSE_US << attempt);
		error = shield_open(generation);
		if (!error)
			error = shield_load(generation, instance, image, made);
		if (error) {
			shield_bpf__destroy(generation->shield);
			generation->shield = NULL;
		}
	}
	return error;
}

static struct generation *generation_new(const struct image *image, __u32 number, bool offline)
{
	struct generation *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return NULL;
	generation->number = number;
	generation->offline = offline;
	generation->ingress = image->config.have_tls || image->config.have_http;
	generation->counts = image->config.have_open;
	generation->ends_slow = image->config.idle_request_ms;
	memset(generation->tables, 0xff, sizeof(generation->tables));
	return generation;
}

int generation_load(struct image *image, const struct generation *twin, struct generation **result)
{
	struct generation *generation = generation_new(image, 0, true);
	const int *made = twin ? twin->tables : generation ? generation->tables : NULL;
	struct table list[TABLE_COUNT];
	int error = generation ? 0 : -ENOMEM;

	libbpf_quiet();
	for (__u32 i = 1; i < image->service_count; i++)
		image->services[i].row = i; /* none shares its cells with another one */
	tables_of(image, list);
	if (!error)
		error = shield_load_at_last(generation, NULL, image, made);
	if (!error)
		error = tables_fill(generation->shield, list, made);
	if (error) {
		generation_free(generation);
		return error;
	}
	*result = generation;
	return 0;
}

/* ---- loading beside the rehearsal ---- */

static void *load_beside(void *arg)
{
	struct generation *generation = arg;
	struct loader *loader = &generation->loader;

	loader->error = shield_load_at_last(generation, loader->instance, loader->image, generation->tables);
	if (loader->error)
		snprintf(loader->words, sizeof(loader->words), "%s", kernel_words()); /* each thread has its own */
	return NULL;
}

static void loader_wait(struct loader *loader)
{
	if (loader->runs)
		pthread_join(loader->thread, NULL);
	loader->runs = false;
}

int generation_begin(const struct instance *instance, const struct image *image, __u32 number,
		     struct generation **result)
{
	struct generation *generation = generation_new(image, number, false);
	struct table list[TABLE_COUNT];
	int error = generation ? 0 : -ENOMEM;

	libbpf_quiet();
	tables_of(image, list);
	if (!error)
		error = shield_open(generation);
	if (!error)
		error = tables_make(generation, list);
	if (error) {
		generation_free(generation);
		return error;
	}
	generation->loader = (struct loader){.instance = instance, .image = image};
	generation->loader.runs = !pthread_create(&generation->loader.thread, NULL, load_beside, generation);
	*result = generation;
	return 0;
}

int generation_finish(struct instance *instance, struct image *image, struct generation *generation)
{
	struct loader *loader = &generation->loader;
	struct table list[TABLE_COUNT];
	int error;

	if (loader->runs)
		loader_wait(loader);
	else
		load_beside(generation); /* no thread was to be had */
	if (loader->error) {
		kernel_say("%s", loader->words);
		return loader->error;
	}
	error = service_rows_take(instance, image, generation->number);
	tables_of(image, list);
	return error ?: tables_fill(generation->shield, list, generation->tables);
}

void generation_free(struct generation *generation)
{
	if (!generation)
		return;
	loader_wait(&generation->loader);
	shield_bpf__destroy(generation->shield);
	for (int i = 0; i < TABLE_COUNT; i++)
		close_fd(&generation->tables[i]);
	free(generation);
}

static struct bpf_program *loaded_of(struct bpf_program *program, struct bpf_program *in_its_place)
{
	return bpf_program__autoload(program) ? program : in_its_place;
}

static struct bpf_program *program_of(const struct generation *generation, enum hook hook)
{
	const struct shield_bpf *shield = generation->shield;
	struct bpf_program *const programs[HOOK_COUNT] = {
		[HOOK_XDP] = shield->progs.shield,
		[HOOK_EGRESS] = shield->progs.egress,
		[HOOK_INGRESS] = loaded_of(shield->progs.ingress, shield->progs.ingress_cookies),
		[HOOK_SOCKOPS] = loaded_of(shield->progs.sockets, shield->progs.sockets_idle),
	};

	return programs[hook];
}

int generation_figures(const struct generation *generation, struct program_figures figures[HOOK_COUNT])
{
	for (int i = 0; i < HOOK_COUNT; i++) {
		struct bpf_program *program = program_of(generation, i);
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size)) {
			kernel_say("cannot ask about program %s: %s", bpf_program__name(program), strerror(errno));
			return -errno;
		}
		snprintf(figures[i].name, sizeof(figures[i].name), "%s", bpf_program__name(program));
		figures[i].instructions = info.xlated_prog_len / sizeof(struct bpf_insn);
		figures[i].jited_bytes = info.jited_prog_len;
		figures[i].verified_instructions = info.verified_insns;
	}
	return 0;
}

/* ---- going live ---- */

static int slot_fill(struct instance *instance, struct generation *generation, const struct slot_info *info, __u32 slot)
{
	int error = bpf_map_update_elem(instance->maps[MAP_slots], &slot, info, BPF_ANY) ? -errno : 0;

	for (int hook = 0; !error && hook < HOOK_COUNT; hook++) {
		int fd = bpf_program__fd(program_of(generation, hook));

		error = bpf_map_update_elem(instance->maps[slot_maps[hook]], &slot, &fd, BPF_ANY) ? -errno : 0;
	}
	if (!error)
		error = slot_program_pin(instance, "recount", slot,
					 generation->counts ? bpf_program__fd(generation->shield->progs.recount) : -1);
	if (!error)
		error = slot_program_pin(instance, "slow", slot,
					 generation->ends_slow ? bpf_program__fd(generation->shield->progs.slow) : -1);
	if (error)
		kernel_say("cannot put generation %u into slot %u: %s", generation->number, slot, strerror(-error));
	return error;
}

int generation_switch(struct instance *instance, struct generation *generation, const struct slot_info *info,
		      __u64 timeout_ms)
{
	struct control_state state;
	__u32 slot = 0;
	int error = control_read(instance, &state);

	if (error)
		return error;
	while (slot < GENERATION_SLOTS && (slot == state.active || slot == state.fallback))
		slot++;
	error = slot_fill(instance, generation, info, slot);
	if (!error)
		error = recount_doubt(instance, slot_in_force(&state));
	if (!error)
		error = control_switch(instance, slot, timeout_ms);
	if (error) {
		struct steer_request request = {.operation = STEER_READ};

		if (!steer(instance, &request))
			slots_sweep(instance, request.word);
	}
	return error;
}

/* ---- offline ---- */

static int test_run(struct bpf_program *program, const void *frame, size_t length)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .repeat = 1);
	int error;

	error = bpf_prog_test_run_opts(bpf_program__fd(program), &options) ? -errno : 0;
	if (error)
		kernel_say("cannot run a frame of %zu bytes through %s: %s", length, bpf_program__name(program),
			   strerror(-error));
	return error;
}

/* TC sees a frame without its VLAN tags, which the card or the stack has put beside it. */
static int judge_ingress(struct generation *generation, const void *frame, size_t length)
{
	__u8 *copy = malloc(length);
	int error;

	if (!copy)
		return -ENOMEM;
	frame = packet_untagged(frame, &length, copy);
	error = test_run(generation->shield->progs.ingress, frame, length < SKB_FRAME_MAX ? length : SKB_FRAME_MAX);
	free(copy);
	return error;
}

int generation_judge(struct generation *generation, const void *frame, size_t length, __u64 time_ns,
		     struct decision *decision)
{
	struct shield_bpf *shield = generation->shield;
	int error;

	memset(decision, 0, sizeof(*decision));
	if (length < 14) { /* the kernel runs nothing that is shorter; no network card delivers it either */
		decision->verdict = VERDICT_DROP;
		decision->reason = REASON_MALFORMED_ETHERNET;
		return 0;
	}
	memset(&shield->bss->decision, 0, sizeof(shield->bss->decision));
	shield->bss->virtual_now_ns = time_ns;
	error = test_run(shield->progs.shield, frame, length);
	if (!error && generation->ingress && shield->bss->decision.verdict != VERDICT_DROP)
		error = judge_ingress(generation, frame, length);
	if (!error)
		memcpy(decision, &shield->bss->decision, sizeof(*decision));
	return error;
}

static int bare_program(void)
{
	static const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bare_pass", "GPL", pass, sizeof(pass) / sizeof(*pass), NULL);
}

int generation_program(const struct generation *generation)
{
	return bpf_program__fd(generation->shield->progs.shield);
}

int generation_measure(struct generation *generation, const void *frame, size_t length, unsigned repeat, __u32 *ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = length, .repeat = repeat);
	cleanup_fd int bare = generation ? -1 : bare_program();
	int error = bpf_prog_test_run_opts(generation ? generation_program(generation) : bare, &run);

	if (error) {
		error = -errno;
		kernel_say("cannot measure the program: %s", strerror(-error));
		return error;
	}
	*ns = run.duration;
	return 0;
}

int generation_sent(struct generation *generation, const void *frame, size_t length, __u64 time_ns,
		    struct decision *decision)
{
	struct shield_bpf *shield = generation->shield;
	int error;

	memset(decision, 0, sizeof(*decision));
	if (length < 14)
		return 0;
	memset(&shield->bss->decision, 0, sizeof(shield->bss->decision));
	shield->bss->virtual_now_ns = time_ns;
	error = test_run(shield->progs.egress, frame, length < SKB_FRAME_MAX ? length : SKB_FRAME_MAX);
	if (!error)
		memcpy(decision, &shield->bss->decision, sizeof(*decision));
	return error;
}

static bool is_open(__u8 state)
{
	return state == CONNECTION_OPEN || state == CONNECTION_OPEN_BEFORE;
}

/* In the place of sockops. Which end is here the table does not say: the one whose port is a service. */
static int count_offline(struct generation *generation, const struct connection_key *key, __u32 operation)
{
	struct shield_bpf *shield = generation->shield;

	for (int local = 0; local < 2; local++) {
		struct open_connection *ends = &generation->found.items[generation->found.count++];

		memcpy(ends->source, key->address[!local], sizeof(ends->source));
		memcpy(ends->destination, key->address[local], sizeof(ends->destination));
		ends->port = ntohs(key->port[local]);
	}
	return recount_tell(bpf_program__fd(shield->progs.recount), bpf_map__fd(shield->maps.open_found),
			    &generation->found, operation);
}

int generation_connection(struct generation *generation, const struct connection_key *key, __u8 state)
{
	int fd = bpf_map__fd(generation->shield->maps.connections);
	__u8 before = 0;

	if (generation->counts)
		bpf_map_lookup_elem(fd, key, &before);
	if (bpf_map_update_elem(fd, key, &state, BPF_ANY)) {
		kernel_say("cannot note a connection: %s", strerror(errno));
		return -errno;
	}
	if (!generation->counts || is_open(before) == is_open(state))
		return 0;
	return count_offline(generation, key, is_open(state) ? RECOUNT_OPENED : RECOUNT_CLOSED);
}

void generation_profile(struct generation *generation, bool under_attack)
{
	generation->shield->bss->offline_profile = under_attack;
}

void generation_zone(struct generation *generation, unsigned zone)
{
	generation->shield->bss->offline_zone = zone;
}

int generation_own(struct generation *generation, const struct prefix *addresses, size_t count)
{
	int fd = bpf_map__fd(generation->shield->maps.own_addresses);
	__u8 old[ADDRESS_BYTES];
	__u32 one = 1;

	while (!bpf_map_get_next_key(fd, NULL, old))
		bpf_map_delete_elem(fd, old);
	generation->shield->bss->own_known = count != 0;
	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, addresses[i].address, &one, BPF_ANY)) {
			kernel_say("cannot note an own address: %s", strerror(errno));
			return -errno;
		}
	return 0;
}
