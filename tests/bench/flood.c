/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flood: sends millions of packets a second out of an interface, for the lab and the benchmark. It belongs into a
 * network namespace made for it (nsenter --net=... flood ...) and ends by itself after --duration.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "flood_plan.h"
#include "flood.skel.h"

#define NS_A_SECOND 1000000000ULL
#define DURATION_MAX 3600
#define BATCH_MAX 256
#define CPUS_MAX 64
#define REPEAT_MAX (1u << 30) /* one call; it ends with the signal long before */
#define ROUND_NS 4000000ULL   /* a paced flood sends what has fallen due about this often */

static const struct flood_profile profiles[] = {
	{"blocked", "SYNs from --blocked", SHAPE_SYN, FROM_BLOCKED, false, 0, false},
	{"blocked-udp", "UDP from --blocked", SHAPE_UDP, FROM_BLOCKED, false, 0, false},
	{"blocked-v6", "IPv6 SYNs from --blocked", SHAPE_SYN, FROM_BLOCKED, true, 0, false},
	{"spoofed-syn", "SYNs from anywhere", SHAPE_SYN, FROM_PUBLIC, false, 0, false},
	{"spoofed-syn-v6", "IPv6 SYNs from anywhere", SHAPE_SYN, FROM_PUBLIC, true, 0, false},
	{"spoofed-udp", "UDP from anywhere", SHAPE_UDP, FROM_PUBLIC, false, 0, false},
	{"spoofed-udp-v6", "IPv6 UDP from anywhere", SHAPE_UDP, FROM_PUBLIC, true, 0, false},
	{"scan", "SYNs from anywhere to every port", SHAPE_SYN, FROM_PUBLIC, false, 0, true},
	{"scan-v6", "IPv6 SYNs from anywhere to every port", SHAPE_SYN, FROM_PUBLIC, true, 0, true},
	{"ack", "ACKs of no connection", SHAPE_ACK, FROM_PUBLIC, false, 0, false},
	{"ack-v6", "IPv6 ACKs of no connection", SHAPE_ACK, FROM_PUBLIC, true, 0, false},
	{"udp-amplification", "answers of reflectors", SHAPE_ANSWER, FROM_PUBLIC, false, 0, true},
	{"udp-amplification-v6", "IPv6 answers of reflectors", SHAPE_ANSWER, FROM_PUBLIC, true, 0, true},
	{"fragments", "later fragments of nothing", SHAPE_FRAGMENT, FROM_PUBLIC, false, 0, false},
	{"fragments-v6", "IPv6 later fragments of nothing", SHAPE_FRAGMENT, FROM_PUBLIC, true, 0, false},
	{"vlan", "SYNs in a VLAN from --blocked", SHAPE_SYN, FROM_BLOCKED, false, 1, false},
	{"qinq", "SYNs in two VLAN tags from --blocked", SHAPE_SYN, FROM_BLOCKED, false, 2, false},
	{"vlan-v6", "IPv6 SYNs in a VLAN from --blocked", SHAPE_SYN, FROM_BLOCKED, true, 1, false},
	{"one-source", "SYNs from --from", SHAPE_SYN, FROM_ONE, false, 0, false},
	{"one-source-v6", "IPv6 SYNs from --from", SHAPE_SYN, FROM_ONE, true, 0, false},
	{"n-sources", "SYNs from --sources addresses", SHAPE_SYN, FROM_MANY, false, 0, false},
	{"n-sources-v6", "IPv6 SYNs from --sources addresses", SHAPE_SYN, FROM_MANY, true, 0, false},
};
#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

/* "mixed": what a node sees in a bad hour. */
static const char mixed[] = "spoofed-syn,spoofed-udp,scan,ack,udp-amplification,fragments";

struct run {
	struct flood_target target;
	const struct flood_profile *profiles[FLOOD_KINDS];
	struct flood_kind kinds[FLOOD_KINDS];
	unsigned kind_count;
	const char *blocked, *from, *interface;
	unsigned many;
	unsigned cpus[CPUS_MAX], cpu_count;
	double seconds;
	__u64 rate, seed; /* packets a second, all CPUs together; 0: as many as go */
	unsigned batch;
	struct flood_bpf *bpf;
	__u32 longest;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	if (number != SIGALRM)
		stopped = 1;
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_A_SECOND + now.tv_nsec;
}

static int complain(const char *what, const char *about)
{
	fprintf(stderr, "flood: %s: %s\n", what, about);
	return 2;
}

/* ---- options ---- */

/* "name", "name:443", "name:any" */
static int add_profile(struct run *run, char *text)
{
	char *colon = strchr(text, ':');
	const struct flood_profile *profile = NULL;
	__u16 port = run->target.port;
	unsigned i;

	if (colon)
		*colon++ = '\0';
	for (i = 0; i < PROFILES; i++)
		if (!strcmp(profiles[i].name, text))
			profile = &profiles[i];
	if (!profile)
		return complain("no such profile (see --help)", text);
	if (run->kind_count == FLOOD_KINDS)
		return complain("more than 16 profiles", text);
	if (profile->any_port)
		port = 0;
	if (colon)
		port = strcmp(colon, "any") ? atoi(colon) : 0;
	if (flood_template(profile, &run->target, port, &run->kinds[run->kind_count]))
		return complain("needs a --dst of its address family", profile->name);
	run->profiles[run->kind_count++] = profile;
	return 0;
}

static int add_profiles(struct run *run, const char *list)
{
	char row[1024], *rest, *text;
	unsigned i;
	int error = 0;

	snprintf(row, sizeof(row), "%s", strcmp(list, "mixed") ? list : mixed);
	for (text = strtok_r(row, ",", &rest); text && !error; text = strtok_r(NULL, ",", &rest))
		error = add_profile(run, text);
	if (error)
		return error;
	if (!run->kind_count)
		return complain("nothing to send", "--profile");
	for (i = 0; i < run->kind_count; i++) {
		run->kinds[i].until = 256 * (i + 1) / run->kind_count;
		if (run->kinds[i].length > run->longest)
			run->longest = run->kinds[i].length;
	}
	return 0;
}

static int set_destinations(struct run *run, const char *list)
{
	char row[256], *rest, *text;

	snprintf(row, sizeof(row), "%s", list);
	for (text = strtok_r(row, ",", &rest); text; text = strtok_r(NULL, ",", &rest)) {
		bool is_v4 = inet_pton(AF_INET, text, run->target.address4 + 12) == 1;

		if (is_v4)
			memset(run->target.address4 + 10, 0xff, 2);
		else if (inet_pton(AF_INET6, text, run->target.address6) != 1)
			return complain("no address", text);
	}
	return 0;
}

static int set_cpus(struct run *run, const char *list)
{
	char row[256], *rest, *text;

	run->cpu_count = 0;
	snprintf(row, sizeof(row), "%s", list);
	for (text = strtok_r(row, ",", &rest); text; text = strtok_r(NULL, ",", &rest)) {
		if (run->cpu_count == CPUS_MAX)
			return complain("more than 64 CPUs", list);
		run->cpus[run->cpu_count++] = atoi(text);
	}
	return run->cpu_count ? 0 : complain("no CPU", list);
}

static int set_interface(struct run *run, const char *name)
{
	struct ifreq request = {};
	int fd, error;

	run->interface = name;
	run->target.ifindex = if_nametoindex(name);
	if (!run->target.ifindex)
		return complain("no such interface in this network namespace", name);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	error = fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request);
	if (fd >= 0)
		close(fd);
	if (error)
		return complain("cannot read the MAC address", name);
	memcpy(run->target.from_mac, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

static int set_mac(struct run *run, const char *text)
{
	__u8 *mac = run->target.to_mac;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		return complain("no MAC address", text);
	return 0;
}

static int usage(void)
{
	unsigned i;

	printf("usage: flood --iface IF --dst-mac MAC --dst ADDR[,ADDR6] --profile NAME[:PORT][,...] --duration "
	       "SECONDS\n"
	       "  --port N            destination port (443)\n"
	       "  --blocked WHAT      a file with a prefix a line, or prefixes with commas between\n"
	       "  --from ADDR         the one source of one-source\n"
	       "  --sources N         how many addresses n-sources has (10000)\n"
	       "  --rate PPS          at most that many packets a second, all CPUs together (no bound)\n"
	       "  --cpu N[,N]         one sender on each (0)\n"
	       "  --batch N           frames handed over at once (64)\n"
	       "  --seed N            of sources and ports (1)\n"
	       "profiles (NAME:PORT or NAME:any overrides --port; mixed is %s):\n",
	       mixed);
	for (i = 0; i < PROFILES; i++)
		printf("  %-21s %s\n", profiles[i].name, profiles[i].help);
	return 0;
}

static const struct option options[] = {
	{"iface", required_argument, NULL, 'i'},    {"dst-mac", required_argument, NULL, 'm'},
	{"dst", required_argument, NULL, 'd'},	    {"profile", required_argument, NULL, 'p'},
	{"profiles", required_argument, NULL, 'p'}, {"port", required_argument, NULL, 'P'},
	{"duration", required_argument, NULL, 't'}, {"rate", required_argument, NULL, 'r'},
	{"cpu", required_argument, NULL, 'c'},	    {"batch", required_argument, NULL, 'b'},
	{"blocked", required_argument, NULL, 'B'},  {"from", required_argument, NULL, 'f'},
	{"sources", required_argument, NULL, 'n'},  {"seed", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},	    {},
};

static int take_option(struct run *run, int option, const char *value, const char **list)
{
	switch (option) {
	case 'i':
		return set_interface(run, value);
	case 'm':
		return set_mac(run, value);
	case 'd':
		return set_destinations(run, value);
	case 'c':
		return set_cpus(run, value);
	case 'p':
		*list = value;
		return 0;
	case 'P':
		run->target.port = atoi(value);
		return 0;
	case 't':
		run->seconds = atof(value);
		return 0;
	case 'r':
		run->rate = strtoull(value, NULL, 10);
		return 0;
	case 'b':
		run->batch = atoi(value);
		return 0;
	case 'B':
		run->blocked = value;
		return 0;
	case 'f':
		run->from = value;
		return 0;
	case 'n':
		run->many = atoi(value);
		return 0;
	case 's':
		run->seed = strtoull(value, NULL, 10);
		return 0;
	case 'h':
		exit(usage());
	default:
		return 2;
	}
}

static int parse(struct run *run, int argc, char **argv)
{
	static const __u8 no_mac[6];
	const char *list = NULL;
	int option, error;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		error = take_option(run, option, optarg, &list);
		if (error)
			return error;
	}
	if (!run->interface || !list || !memcmp(run->target.to_mac, no_mac, 6))
		return complain("--iface, --dst-mac, --dst and --profile are needed", "usage (see --help)");
	if (!(run->seconds > 0 && run->seconds <= DURATION_MAX))
		return complain("between 0 and 3600 seconds, and no default", "--duration");
	if (!run->batch || run->batch > BATCH_MAX)
		return complain("between 1 and 256", "--batch");
	return add_profiles(run, list);
}

/* ---- the kernel's side ---- */

static int fill_map(struct bpf_map *map, const void *items, size_t size)
{
	void *there;

	if (!size)
		return 0;
	there = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (there == MAP_FAILED)
		return -errno;
	memcpy(there, items, size);
	munmap(there, size);
	return 0;
}

/* Each kind's part of the sources. */
static int give_sources(struct run *run, const struct flood_sources *sources)
{
	unsigned i;

	for (i = 0; i < run->kind_count; i++) {
		const struct flood_set *set = &sources->sets[run->profiles[i]->from];
		struct flood_kind *kind = &run->kinds[i];

		kind->source_first = kind->ipv6 ? set->first6 : set->first4;
		kind->source_count = kind->ipv6 ? set->count6 : set->count4;
		if (!kind->source_count)
			return complain("has no source of its address family (--blocked, --from)",
					run->profiles[i]->name);
	}
	return 0;
}

static int set_random(struct run *run)
{
	int cpus = libbpf_num_possible_cpus(), i, which;
	struct flood_state *states;
	__u32 zero = 0;
	int error;

	states = cpus > 0 ? calloc(cpus, sizeof(*states)) : NULL;
	if (!states)
		return -ENOMEM;
	for (i = 0; i < cpus; i++) {
		states[i].random = (run->seed + i + 1) * 0x9e3779b97f4a7c15ULL | 1;
		for (which = 0; which < (int)run->kind_count; which++) /* CPUs do not walk in step */
			states[i].walk[which] = (__u64)run->kinds[which].source_count * i / cpus;
	}
	error = bpf_map_update_elem(bpf_map__fd(run->bpf->maps.state), &zero, states, BPF_ANY);
	free(states);
	return error;
}

static int load_program(struct run *run, const struct flood_sources *sources)
{
	__u32 zero = 0;
	int error;

	run->bpf = flood_bpf__open();
	if (!run->bpf)
		return -errno;
	memcpy((void *)run->bpf->rodata->kinds, run->kinds, sizeof(run->kinds));
	run->bpf->rodata->kind_count = run->kind_count;
	run->bpf->rodata->out_ifindex = run->target.ifindex;
	bpf_map__set_max_entries(run->bpf->maps.sources4, sources->count4 ?: 1);
	bpf_map__set_max_entries(run->bpf->maps.sources6, sources->count6 ?: 1);
	error = flood_bpf__load(run->bpf);
	error = error ?: fill_map(run->bpf->maps.sources4, sources->v4, sources->count4 * sizeof(*sources->v4));
	error = error ?: fill_map(run->bpf->maps.sources6, sources->v6, sources->count6 * sizeof(*sources->v6));
	error = error ?: bpf_map_update_elem(bpf_map__fd(run->bpf->maps.out), &zero, &run->target.ifindex, BPF_ANY);
	return error ?: set_random(run);
}

/*
 * A program that is attached somewhere is in the kernel's table of XDP programs already, so that running it changes
 * nothing there; else each call waits for RCU, 18 ms on an idle machine and seconds on a busy one. It passes what comes
 * in. The link ends with this process. Where it cannot be had, a paced flood is only less even.
 */
static void hold(struct run *run)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);

	bpf_link_create(bpf_program__fd(run->bpf->progs.flood), run->target.ifindex, BPF_XDP, &opts);
}

static int prepare(struct run *run)
{
	struct flood_sources sources;
	int error = flood_sources_make(&sources, run->blocked, run->from, run->many, run->seed);

	if (!error)
		error = give_sources(run, &sources);
	if (!error) {
		error = load_program(run, &sources);
		if (error)
			fprintf(stderr, "flood: cannot load the generator: %s (needs root and Linux 5.18)\n",
				strerror(-error));
	}
	flood_sources_free(&sources);
	if (!error)
		hold(run);
	return error ? 3 : 0;
}

static int stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* The call ends when the signal comes, or after repeat packets. */
static int send_packets(struct run *run, __u32 repeat)
{
	__u8 frame[FLOOD_FRAME_MAX] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = run->longest, .repeat = repeat,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = run->batch);
	int error = bpf_prog_test_run_opts(bpf_program__fd(run->bpf->progs.flood), &opts);

	return error == -EINTR ? 0 : error;
}

static void sleep_until(__u64 when)
{
	struct timespec then = {when / NS_A_SECOND, when % NS_A_SECOND};

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR && now_ns() < when)
		;
}

/* A token bucket: what fell due since the last round; what could not be sent for a quarter of a second is forgotten. */
static int send_paced(struct run *run, __u64 end)
{
	__u64 rate = run->rate / run->cpu_count, last = now_ns(), now, owed = 0;
	int error = 0;

	while (!stopped && !error && (now = now_ns()) < end) {
		owed += (now - last) * rate / NS_A_SECOND;
		last = now;
		if (owed > rate / 4)
			owed = rate / 4;
		if (owed >= run->batch) {
			error = send_packets(run, owed / run->batch * run->batch);
			owed %= run->batch;
		}
		sleep_until(last + ROUND_NS < end ? last + ROUND_NS : end);
	}
	return error;
}

static int send_until(struct run *run, unsigned cpu, __u64 end)
{
	__u64 left = end - now_ns();
	struct itimerval alarm = {.it_interval.tv_usec = 20000, /* again, should the first come between two calls */
				  .it_value = {left / NS_A_SECOND, left % NS_A_SECOND / 1000 + 1}};
	int error = stay_on(cpu);

	if (error) {
		fprintf(stderr, "flood: there is no CPU %u to run on\n", cpu);
		return 2;
	}
	setitimer(ITIMER_REAL, &alarm, NULL);
	if (run->rate)
		error = send_paced(run, end);
	else
		while (!stopped && !error && now_ns() < end)
			error = send_packets(run, REPEAT_MAX);
	if (error)
		fprintf(stderr, "flood: cannot send on %s: %s\n", run->interface, strerror(-error));
	return error ? 3 : 0;
}

static void print_sent(struct run *run, double seconds)
{
	int cpus = libbpf_num_possible_cpus(), i;
	struct flood_state *states = calloc(cpus, sizeof(*states));
	__u64 all = 0, of_kind[FLOOD_KINDS] = {};
	__u32 zero = 0;
	unsigned which;

	if (!states || bpf_map_lookup_elem(bpf_map__fd(run->bpf->maps.state), &zero, states)) {
		fprintf(stderr, "flood: cannot read what was sent\n");
		free(states);
		return;
	}
	for (i = 0; i < cpus; i++)
		for (which = 0; which < run->kind_count; which++)
			of_kind[which] += states[i].sent[which];
	for (which = 0; which < run->kind_count; which++)
		all += of_kind[which];
	printf("{\"interface\":\"%s\",\"seconds\":%.3f,\"sent\":%llu,\"pps\":%.0f,\"cpus\":%u,\"profiles\":{",
	       run->interface, seconds, all, all / seconds, run->cpu_count);
	for (which = 0; which < run->kind_count; which++)
		printf("%s\"%s\":%llu", which ? "," : "", run->profiles[which]->name, of_kind[which]);
	printf("}}\n");
	free(states);
}

/* One process a CPU; they die with this one. */
static int send_on_all(struct run *run)
{
	__u64 start = now_ns(), end = start + (__u64)(run->seconds * NS_A_SECOND);
	pid_t parent = getpid(), children[CPUS_MAX], ended;
	int status, worst = 0;
	unsigned i, running = 0;

	for (i = 0; i < run->cpu_count; i++, running++) {
		children[i] = fork();
		if (children[i] < 0)
			break;
		if (!children[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(getppid() == parent ? send_until(run, run->cpus[i], end) : 3);
		}
	}
	if (running < run->cpu_count)
		worst = complain("cannot start a sender", strerror(errno));
	while (running) {
		if (stopped)
			for (i = 0; i < running; i++)
				kill(children[i], SIGTERM);
		ended = waitpid(-1, &status, 0);
		if (ended < 0 && errno == EINTR)
			continue;
		for (i = 0; i < running && children[i] != ended; i++)
			;
		if (ended > 0 && i < running)
			children[i] = children[--running];
		if (!WIFEXITED(status) || WEXITSTATUS(status) > worst)
			worst = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
	}
	print_sent(run, (now_ns() - start) / 1e9);
	return worst;
}

int main(int argc, char **argv)
{
	struct run run = {.target.port = 443, .many = 10000, .cpu_count = 1, .batch = 64, .seed = 1};
	struct sigaction action = {.sa_handler = on_signal};
	int status;

	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	status = parse(&run, argc, argv);
	if (!status)
		status = prepare(&run);
	if (!status)
		status = send_on_all(&run);
	flood_bpf__destroy(run.bpf);
	return status;
}
