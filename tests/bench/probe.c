/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe: nanoseconds a packet that programs cost over a baseline. All run in turns, behind the same wrapper that gives
 * each packet another source, a million packets a call (a call alone waits 18 ms for RCU). Run it in the network
 * namespace whose sockets the programs shall see.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "flood_plan.h"
#include "probe.h"
#include "probe.skel.h"

#define ROUNDS_MAX 99
#define PROGRAMS_MAX 8
#define WARM_UP 500000
#define REFLECTED 53 /* DNS */

struct work {
	const char *programs[PROGRAMS_MAX]; /* pinned paths, or bare_drop, bare_pass, parsed, bucket; the first is the
					       baseline */
	unsigned program_count;
	const char *hit, *miss, *peers; /* files */
	const char *events;		/* a pinned ring buffer to keep empty, as the daemon does */
	const char *expect;		/* the verdict of the measured program: drop, pass or any */
	struct flood_target target;
	struct flood_profile profile;
	struct flood_kind kind;
	unsigned rounds, repeat, ifindex, cpu, distinct;
	bool anywhere, fresh;
	struct probe_bpf *bpf;
	double ns[PROGRAMS_MAX][ROUNDS_MAX];
};

static int complain(const char *what, const char *about)
{
	fprintf(stderr, "probe: %s: %s\n", what, about);
	return 2;
}

/* ---- sources ---- */

static __u64 seed = 0x9e3779b97f4a7c15ULL;

static __u64 draw(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static int compare4(const void *one, const void *other)
{
	__u32 a = ntohl(((const struct flood_source4 *)one)->address);
	__u32 b = ntohl(((const struct flood_source4 *)other)->address);

	return a < b ? -1 : a > b;
}

static int compare6(const void *one, const void *other)
{
	const struct flood_source6 *a = one, *b = other;

	return memcmp(a, b, sizeof(a->high) + sizeof(a->low)); /* network order: as numbers */
}

/* Whether the list, sorted and disjoint, covers the address: by the last item that does not begin after it. */
static bool listed4(const struct flood_source4 *items, size_t count, __u32 address)
{
	struct flood_source4 wanted = {.address = address};
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare4(&items[middle], &wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && (address & ~items[low - 1].host) == items[low - 1].address;
}

static bool listed6(const struct flood_source6 *items, size_t count, const struct flood_source6 *wanted)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare6(&items[middle], wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && (wanted->high & ~items[low - 1].host_high) == items[low - 1].high &&
	       (wanted->low & ~items[low - 1].host_low) == items[low - 1].low;
}

static void draw_listed(const struct work *work, const struct flood_sources *from, struct probe_source6 *to)
{
	const struct flood_set *set = &from->sets[FROM_BLOCKED];

	if (work->profile.ipv6) {
		const struct flood_source6 *item = &from->v6[set->first6 + draw() % set->count6];

		to->high = item->high | (draw() & item->host_high);
		to->low = item->low | (draw() & item->host_low);
	} else {
		const struct flood_source4 *item = &from->v4[set->first4 + draw() % set->count4];

		to->low = item->address | ((__u32)draw() & item->host);
	}
}

/* In the same space as the list, but not in it; IPv6 with --anywhere: mostly far from whatever the list holds. */
static void draw_unlisted(const struct work *work, const struct flood_sources *from, struct probe_source6 *to)
{
	const struct flood_set *set = &from->sets[FROM_BLOCKED];
	struct flood_source6 wanted = {};
	__u32 address;

	if (work->profile.ipv6) {
		do {
			wanted.high =
				htobe64(work->anywhere ? 1ULL << 61 | draw() >> 3 : 0x2400ULL << 48 | draw() >> 16);
			wanted.low = draw();
		} while (listed6(from->v6 + set->first6, set->count6, &wanted));
		to->high = wanted.high;
		to->low = wanted.low;
		return;
	}
	do
		address = htonl((11 + draw() % 88) << 24 | draw() >> 40);
	while (listed4(from->v4 + set->first4, set->count4, address));
	to->low = address;
}

static int draw_sources(const struct work *work, struct probe_source6 *sources)
{
	struct flood_sources from;
	const struct flood_set *set = &from.sets[FROM_BLOCKED];
	const char *file = work->hit ?: work->miss;
	int error = flood_sources_make(&from, strcmp(file, "-") ? file : NULL, NULL, 1, 1);

	if (!error && work->hit && !(work->profile.ipv6 ? set->count6 : set->count4))
		error = -ENOENT;
	if (!error)
		qsort(from.v4 + set->first4, set->count4, sizeof(*from.v4), compare4);
	if (!error)
		qsort(from.v6 + set->first6, set->count6, sizeof(*from.v6), compare6);
	for (unsigned i = 0; !error && i < PROBE_SOURCES; i++) {
		if (work->hit)
			draw_listed(work, &from, &sources[i]);
		else
			draw_unlisted(work, &from, &sources[i]);
		sources[i].port = htons(work->profile.shape == SHAPE_ANSWER ? REFLECTED : 1024 + draw() % 64000);
	}
	for (unsigned i = work->distinct; !error && i < PROBE_SOURCES; i++)
		sources[i] = sources[i % work->distinct];
	flood_sources_free(&from);
	return error;
}

/* "address port" a line: the far ends of open connections; they take turns. */
static int read_peers(const char *path, struct probe_source6 *sources)
{
	FILE *file = fopen(path, "re");
	unsigned count = 0, i, port;
	char address[64];

	if (!file)
		return -errno;
	while (count < PROBE_SOURCES && fscanf(file, "%63s %u", address, &port) == 2) {
		struct probe_source6 *source = &sources[count++];
		struct in_addr v4;

		source->port = htons(port);
		if (inet_pton(AF_INET, address, &v4) == 1)
			source->low = v4.s_addr;
		else if (inet_pton(AF_INET6, address, &source->high) != 1)
			count--;
	}
	fclose(file);
	if (!count)
		return -ENOENT;
	for (i = count; i < PROBE_SOURCES; i++)
		sources[i] = sources[i % count];
	return 0;
}

/* IPv4 addresses come in low. */
static int give_sources(const struct work *work, const struct probe_source6 *sources)
{
	const struct bpf_map *map = work->profile.ipv6 ? work->bpf->maps.sources6 : work->bpf->maps.sources4;
	size_t size = (size_t)PROBE_SOURCES * bpf_map__value_size(map);
	struct probe_source4 *four;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED)
		return -errno;
	if (work->profile.ipv6)
		memcpy(memory, sources, size);
	else
		for (four = memory; four < (struct probe_source4 *)memory + PROBE_SOURCES; four++, sources++)
			*four = (struct probe_source4){.address = sources->low, .port = sources->port};
	munmap(memory, size);
	return 0;
}

static int fill_sources(const struct work *work)
{
	struct probe_source6 *sources = calloc(PROBE_SOURCES, sizeof(*sources));
	int error = sources ? 0 : -ENOMEM;

	if (!error)
		error = work->peers ? read_peers(work->peers, sources) : draw_sources(work, sources);
	error = error ?: give_sources(work, sources);
	free(sources);
	return error;
}

/* ---- measuring ---- */

static int ignore_event(void *context, void *data, size_t size)
{
	(void)context, (void)data, (void)size;
	return 0;
}

/* Keeps the ring empty, every 5 ms, as the daemon does. */
static void *drain(void *path)
{
	int fd = bpf_obj_get(path);
	struct ring_buffer *ring = fd >= 0 ? ring_buffer__new(fd, ignore_event, NULL, NULL) : NULL;

	if (!ring)
		complain("cannot read the events", path);
	while (ring) {
		ring_buffer__consume(ring);
		usleep(5000);
	}
	return NULL;
}

/* Programs of the wrapper's own object, which are loaded only where they are asked for. */
static struct bpf_program *own_program(const struct work *work, const char *name)
{
	return strchr(name, '/') ? NULL : bpf_object__find_program_by_name(work->bpf->obj, name);
}

static int open_program(const struct work *work, const char *name)
{
	struct bpf_program *own = own_program(work, name);

	return own ? bpf_program__fd(own) : bpf_obj_get(name);
}

static double cpu_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return spent.tv_sec * 1e9 + spent.tv_nsec;
}

/* ns of CPU a packet, or a negative error; verdict: what the last packet got. Not the kernel's own duration: that one
 * goes on while somebody else has the CPU. */
static double measure(struct work *work, int fd, unsigned repeat, __u32 *verdict)
{
	__u8 frame[FLOOD_FRAME_MAX] = {};
	struct xdp_md context = {.data_end = work->kind.length, .ingress_ifindex = work->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = work->kind.length, .repeat = repeat,
		    .ctx_in = &context, .ctx_size_in = sizeof(context));
	__u32 zero = 0;
	int error = bpf_map_update_elem(bpf_map__fd(work->bpf->maps.target), &zero, &fd, BPF_ANY);
	double began;

	memcpy(frame, work->kind.frame, work->kind.length < FLOOD_HEADERS ? work->kind.length : FLOOD_HEADERS);
	began = cpu_ns();
	error = error ?: bpf_prog_test_run_opts(bpf_program__fd(work->bpf->progs.probe), &opts);
	if (error)
		return error;
	*verdict = opts.retval;
	return (cpu_ns() - began) / repeat;
}

static int measure_one(struct work *work, unsigned which, int fd, unsigned repeat, double *ns)
{
	__u32 want = strcmp(work->expect, "drop") ? XDP_PASS : XDP_DROP, verdict = 0;

	*ns = measure(work, fd, repeat, &verdict);
	if (*ns < 0)
		return complain("BPF_PROG_RUN", strerror(-*ns));
	if (which && strcmp(work->expect, "any") && verdict != want) /* a baseline need not agree */
		return complain("does not do what --expect says", work->programs[which]);
	return 0;
}

static int measure_all(struct work *work)
{
	int fds[PROGRAMS_MAX], error = 0;
	unsigned round, i;
	double ignored;

	for (i = 0; i < work->program_count; i++) {
		fds[i] = open_program(work, work->programs[i]);
		if (fds[i] < 0)
			return complain("cannot open the program", work->programs[i]);
	}
	for (i = 0; !error && i < work->program_count; i++)
		error = measure_one(work, i, fds[i], WARM_UP, &ignored);
	for (round = 0; !error && round < work->rounds; round++)
		for (i = 0; !error && i < work->program_count; i++)
			error = measure_one(work, i, fds[i], work->repeat, &work->ns[i][round]);
	return error;
}

/* A row of ns a packet for each program, in the order of the command line. */
static void print_rows(const struct work *work)
{
	unsigned round, i;

	for (i = 0; i < work->program_count; i++) {
		printf("%s", i ? ",[" : "[[");
		for (round = 0; round < work->rounds; round++)
			printf("%s%.2f", round ? "," : "", work->ns[i][round]);
		printf("]");
	}
	printf("]\n");
}

/* ---- options ---- */

static const struct option options[] = {
	{"program", required_argument, NULL, 'p'},
	{"tags", required_argument, NULL, 't'},
	{"iface", required_argument, NULL, 'i'},
	{"dst", required_argument, NULL, 'd'},
	{"port", required_argument, NULL, 'P'},
	{"shape", required_argument, NULL, 's'},
	{"hit", required_argument, NULL, 'h'},
	{"miss", required_argument, NULL, 'm'},
	{"peers", required_argument, NULL, 'e'},
	{"expect", required_argument, NULL, 'x'},
	{"rounds", required_argument, NULL, 'r'},
	{"repeat", required_argument, NULL, 'n'},
	{"events", required_argument, NULL, 'E'},
	{"cpu", required_argument, NULL, 'c'},
	{"distinct", required_argument, NULL, 'D'},
	{"drain", required_argument, NULL, 'w'},
	{"anywhere", no_argument, NULL, 'a'},
	{"fresh", no_argument, NULL, 'f'},
	{},
};

static int take_shape(struct work *work, const char *value)
{
	static const char *const names[] = {[SHAPE_SYN] = "syn",
					    [SHAPE_ACK] = "ack",
					    [SHAPE_UDP] = "udp",
					    [SHAPE_ANSWER] = "answer",
					    [SHAPE_FRAGMENT] = "fragment"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i] && !strcmp(value, names[i])) {
			work->profile.shape = i;
			return 0;
		}
	return complain("no such shape", value);
}

static int take_option(struct work *work, int option, const char *value)
{
	const char **texts[] = {['h'] = &work->hit,
				['m'] = &work->miss,
				['e'] = &work->peers,
				['x'] = &work->expect,
				['E'] = &work->events};
	unsigned *numbers[] = {['r'] = &work->rounds,
			       ['n'] = &work->repeat,
			       ['c'] = &work->cpu,
			       ['D'] = &work->distinct,
			       ['t'] = &work->profile.tags};

	if (option < (int)(sizeof(texts) / sizeof(texts[0])) && texts[option]) {
		*texts[option] = value;
		return 0;
	}
	if (option < (int)(sizeof(numbers) / sizeof(numbers[0])) && numbers[option]) {
		*numbers[option] = atoi(value);
		return 0;
	}
	switch (option) {
	case 'i':
		work->ifindex = if_nametoindex(value);
		return work->ifindex ? 0 : complain("no such interface", value);
	case 'P':
		work->target.port = atoi(value);
		return 0;
	case 's':
		return take_shape(work, value);
	case 'd':
		work->profile.ipv6 = inet_pton(AF_INET6, value, work->target.address6) == 1;
		return work->profile.ipv6 || inet_pton(AF_INET, value, work->target.address4 + 12) == 1 ? 0 : 2;
	case 'p':
		if (work->program_count == PROGRAMS_MAX)
			return complain("more than 8 programs", value);
		work->programs[work->program_count++] = value;
		return 0;
	case 'a':
		work->anywhere = true;
		return 0;
	case 'f':
		work->fresh = true;
		return 0;
	case 'w':
		drain((void *)value); /* for ever, for a flood */
		return 3;
	default:
		return 2;
	}
}

/* The wrapper, and of the programs beside it those that were asked for: the bucket's table is large. */
static int load(struct work *work)
{
	struct bpf_program *program;
	bool wants_bucket = false;
	unsigned i;

	work->bpf = probe_bpf__open();
	if (!work->bpf)
		return -errno;
	work->bpf->rodata->ipv6 = work->profile.ipv6;
	work->bpf->rodata->l3 = work->kind.l3;
	work->bpf->rodata->fresh = work->fresh;
	bpf_object__for_each_program(program, work->bpf->obj)
		bpf_program__set_autoload(program, program == work->bpf->progs.probe);
	for (i = 0; i < work->program_count; i++) {
		program = own_program(work, work->programs[i]);
		if (program)
			bpf_program__set_autoload(program, true);
		wants_bucket |= program && program == work->bpf->progs.bucket;
	}
	bpf_map__set_autocreate(work->bpf->maps.buckets, wants_bucket);
	return probe_bpf__load(work->bpf);
}

static int prepare(struct work *work, int argc, char **argv)
{
	int option, error = 0;

	while (!error && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		error = take_option(work, option, optarg);
	if (work->profile.tags > 2)
		return complain("0, 1 or 2", "--tags");
	if (error || work->program_count < 2 || !work->ifindex || work->rounds > ROUNDS_MAX || !work->distinct ||
	    work->distinct > PROBE_SOURCES || !(work->hit || work->miss || work->peers || work->fresh) ||
	    flood_template(&work->profile, &work->target, work->target.port, &work->kind))
		return complain(
			"two of --program, --iface, --dst and one of --hit, --miss, --peers, --fresh are needed",
			"usage");
	error = load(work);
	if (!error && !work->fresh)
		error = fill_sources(work);
	return error ? complain("cannot prepare the packets", strerror(-error)) : 0;
}

int main(int argc, char **argv)
{
	struct work work = {
		.rounds = 5, .distinct = PROBE_SOURCES, .repeat = 3000000, .target.port = 443, .expect = "pass"};
	int status = prepare(&work, argc, argv);
	pthread_t drainer;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(work.cpu, &set);
	if (!status && work.events && pthread_create(&drainer, NULL, drain, (void *)work.events))
		status = complain("cannot start a thread", "--events");
	if (!status && sched_setaffinity(0, sizeof(set), &set))
		status = complain("no such CPU", "--cpu");
	if (!status)
		status = measure_all(&work);
	if (!status)
		print_rows(&work);
	probe_bpf__destroy(work.bpf);
	return status;
}
