/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as frames: the packet path of bpf/, compiled for this process (shield_user.c), against an evaluator that
 * shares nothing with it (evaluate.c). Both must say the same of every frame: verdict, reason, service, what monitored
 * rules would have done, and the fields that were read. A read behind a frame's end ends the process.
 *
 * An input is a byte that chooses the policy (0x80: only some destinations are this host's), then frames:
 * what becomes of it (enum step), how long to wait before (waits[]), its length in two bytes, and its bytes.
 */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <netinet/in.h>

#include "../../userspace/image.h"
#include "../../userspace/judge.h"
#include "../../userspace/kernel_private.h"
#include "../../userspace/packet_flow.h"
#include "../packets/runner.h"
#include "evaluate.h"
#include "fuzz_packet.h"
#include "shield.skel.h"
#include "shield_user.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

#define SECOND 1000000000ULL
#define MAPS 128

struct ready { /* a policy, compiled for one and read by the other */
	const char *name;
	struct policy *policy;
	struct image image;
	struct evaluator *evaluator;
	struct user_map maps[MAPS]; /* with its tables in them */
	struct generation_config constants;
};

static struct ready ready[sizeof(fuzz_policies) / sizeof(*fuzz_policies)];
static struct user_map maps[MAPS];
static size_t map_count;
static struct user_map *own_addresses_map, *connections_map;
static struct prefix own[4];

/* ---- the program's maps */

static struct { /* values that may have been written since the last reset */
	char *value;
	unsigned size;
} written[4096];
static size_t written_count;

static char *hash_find(const struct user_map *map, const void *key)
{
	size_t stride = map->key_size + map->value_size;

	for (unsigned i = 0; i < map->used; i++) {
		if (!memcmp(map->memory + i * stride, key, map->key_size))
			return map->memory + i * stride + map->key_size;
	}
	return NULL;
}

void *user_lookup(struct user_map *map, const void *key)
{
	char *value;
	__u32 index;

	if (!map)
		abort();
	if (map->hash)
		return hash_find(map, key);
	memcpy(&index, key, sizeof(index));
	if (index >= map->entries)
		return NULL;
	value = map->memory + (size_t)index * map->value_size;
	if (map->state) {
		if (written_count == sizeof(written) / sizeof(*written))
			abort();
		written[written_count].value = value;
		written[written_count++].size = map->value_size;
	}
	return value;
}

int user_insert(struct user_map *map, const void *key, const void *value)
{
	char *place = hash_find(map, key);

	if (!place && map->used == map->entries)
		return -1;
	if (!place) {
		place = map->memory + map->used++ * (map->key_size + map->value_size);
		memcpy(place, key, map->key_size);
		place += map->key_size;
	}
	memcpy(place, value, map->value_size);
	return 0;
}

void shield_reset(void)
{
	while (written_count) {
		written_count--;
		memset(written[written_count].value, 0, written[written_count].size);
	}
	for (size_t i = 0; i < map_count; i++)
		maps[i].used = 0;
}

static __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	abort();
}

/* Every map of the object gets memory; the definition of the same name in this process points at it. */
static void map_make(const struct bpf_map *map)
{
	struct user_map *made;
	void *definition = dlsym(RTLD_DEFAULT, bpf_map__name(map));
	size_t stride;

	if (map_count == MAPS)
		die("map %s is one more than the %d there is room for here\n", bpf_map__name(map), MAPS);
	if (!definition)
		die("no definition of map %s here\n", bpf_map__name(map));
	made = &maps[map_count++];
	made->hash = bpf_map__type(map) == BPF_MAP_TYPE_HASH || bpf_map__type(map) == BPF_MAP_TYPE_LRU_HASH;
	made->state = !made->hash;
	made->key_size = bpf_map__key_size(map);
	made->value_size = bpf_map__value_size(map);
	made->entries = made->hash ? 64 : bpf_map__max_entries(map);
	stride = made->value_size + (made->hash ? made->key_size : 0);
	made->memory = calloc(made->entries, stride ? stride : 1);
	*(struct user_map **)definition = made;
	if (!strcmp(bpf_map__name(map), "own_addresses"))
		own_addresses_map = made;
	if (!strcmp(bpf_map__name(map), "connections"))
		connections_map = made;
}

static void maps_make(void)
{
	struct shield_bpf *shield = shield_bpf__open();
	const struct bpf_map *map;

	if (!shield)
		die("the object cannot be read\n");
	bpf_object__for_each_map(map, shield->obj)
	{
		if (!bpf_map__is_internal(map))
			map_make(map);
	}
	shield_bpf__destroy(shield);
}

/* ---- policies */

static void table_give(const char *name, const void *items, size_t bytes)
{
	void *definition = dlsym(RTLD_DEFAULT, name);
	struct user_map *map = definition ? *(struct user_map **)definition : NULL;
	size_t entries;

	if (!map)
		die("no map %s here\n", name);
	entries = (bytes + map->value_size - 1) / map->value_size;
	map->entries = entries;
	map->state = false;
	if (!map->table) /* what map_make() gave; tables of policies stay with them */
		free(map->memory);
	map->table = true;
	map->memory = calloc(entries + 1, map->value_size); /* its end is the end of the last whole value */
	if (bytes)
		memcpy(map->memory, items, bytes);
}

static void tables_give(const struct image *image)
{
	struct table tables[TABLE_COUNT];

	tables_of(image, tables);
	for (int i = 0; i < TABLE_COUNT; i++)
		table_give(tables[i].name, tables[i].items, tables[i].size * tables[i].count);
}

static void policy_ready(struct ready *one, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.yaml", getenv("FUZZ_POLICIES") ?: "tests/packets/policies", name);
	one->name = name;
	if (image_of(path, &one->policy, &one->image))
		die("%s cannot be used\n", path);
	one->evaluator = evaluator_new(one->policy);
	if (!one->evaluator)
		die("no memory\n");
	tables_give(&one->image);
	memcpy(one->maps, maps, sizeof(maps));
	one->constants = one->image.config;
	one->constants.offline = 1;
	one->constants.state_key[0] = 0x1234;
	sip_key(&one->constants.hash_start, one->constants.state_key[0], one->constants.state_key[1]);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	static const char *const mine[] = {"192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11"};

	(void)count;
	(void)arguments;
	maps_make();
	for (size_t i = 0; i < sizeof(mine) / sizeof(*mine); i++)
		prefix_parse(mine[i], &own[i]);
	for (size_t i = 0; i < sizeof(ready) / sizeof(*ready); i++)
		policy_ready(&ready[i], fuzz_policies[i]);
	return 0;
}

/* ---- one input */

static const char *service_of(const struct ready *one, const struct decision *decision)
{
	return decision->service && decision->service < one->image.service_count
		       ? one->image.service_names[decision->service]
		       : NULL;
}

static bool same_words(const char *one, const char *other)
{
	return one && other ? !strcmp(one, other) : one == other;
}

/* Fields are compared of what was read to its end: then every field of the flow is known to both. */
static bool same_fields(const struct told *told, const struct decision *decision)
{
	const struct taken_apart *packet = &told->packet;

	if (packet->version != (decision->ipv6 ? 6 : 4))
		return false;
	return !memcmp(packet->from.address, decision->source, 16) &&
	       !memcmp(packet->to.address, decision->destination, 16) && packet->from.port == decision->source_port &&
	       packet->to.port == decision->destination_port && packet->protocol == decision->protocol &&
	       packet->flags == decision->tcp_flags;
}

static bool read_to_its_end(enum reason reason)
{
	return reason >= REASON_TRUSTED && (reason < REASON_MALFORMED_ETHERNET || reason > REASON_UNPARSED_EXTENSION);
}

static void compare(const struct ready *one, const struct told *told, const struct decision *decision)
{
	const char *service = service_of(one, decision);

	if (told->verdict == decision->verdict && told->reason == decision->reason && told->would == decision->would &&
	    same_words(told->service, service) &&
	    (!read_to_its_end(told->reason) || told->would || same_fields(told, decision)))
		return;
	fprintf(stderr, "policy %s: the evaluator says %s %s %s would=%s, the program %s %s %s would=%s\n", one->name,
		verdict_name(told->verdict), reason_name(told->reason), told->service ?: "-", reason_name(told->would),
		verdict_name(decision->verdict), reason_name(decision->reason), service ?: "-",
		reason_name(decision->would));
	for (size_t i = 0; i < told->packet.length; i++)
		fprintf(stderr, "%02x", told->packet.frame[i]);
	fputc('\n', stderr);
	abort();
}

static void open_connection(struct ready *one, const __u8 *frame, size_t length)
{
	struct connection_key key;
	struct packet_flow flow;
	struct taken_apart packet;
	__u8 state = CONNECTION_OPEN;

	if (packet_flow(frame, length, length, &flow) || !flow.ports || flow.protocol != IPPROTO_TCP)
		return;
	if (take_apart(frame, length, &packet))
		return;
	packet_connection(&flow, &key);
	if (!user_insert(connections_map, &key, &state))
		evaluate_open(one->evaluator, &packet.from, &packet.to);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const __u64 waits[] = {0, SECOND / 100, 22 * SECOND, 52 * SECOND, 300 * SECOND};
	const unsigned char *end = data + size;
	struct ready *one;
	__u64 now = 10000 * SECOND;
	__u32 mine = 1;
	bool own_known;

	if (!size)
		return 0;
	one = &ready[(*data & 0x7f) % (sizeof(ready) / sizeof(*ready))];
	own_known = *data++ & 0x80;
	shield_reset();
	memcpy(maps, one->maps, sizeof(maps));
	user_constants = one->constants;
	shield_own_known(own_known);
	evaluator_reset(one->evaluator, own, own_known ? sizeof(own) / sizeof(*own) : 0);
	for (size_t i = 0; own_known && i < sizeof(own) / sizeof(*own); i++)
		user_insert(own_addresses_map, own[i].address, &mine);
	for (int frames = 0; frames < 24 && end - data >= 4; frames++) {
		unsigned step = data[0] % STEPS, wait = data[1] % (sizeof(waits) / sizeof(*waits));
		size_t length = data[2] | (size_t)data[3] << 8;
		struct decision decision;
		struct told told;

		data += 4;
		length %= 4096;
		if (length > (size_t)(end - data))
			length = end - data;
		now += waits[wait];
		if (step == STEP_OPEN) {
			open_connection(one, data, length);
		} else if (step == STEP_SENT) {
			shield_sent(data, length, now);
			if (evaluate_sent(one->evaluator, data, length, now))
				return 0;
		} else {
			shield_judge(data, length, now, &decision);
			told = evaluate(one->evaluator, data, length, now);
			if (told.unsure)
				return 0;
			compare(one, &told, &decision);
		}
		data += length;
	}
	return 0;
}
