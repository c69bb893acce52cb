/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flood: sends millions of packets a second out of an interface, for the lab and the benchmark. It belongs into a
 * network namespace made for it (nsenter --net=... flood ...) and ends by itself after --duration, or, --on-demand,
 * with whoever writes to its standard input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "flood_plan.h"

#define BATCH_MAX 256
#define MANY_MAX 10000000

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
	{"syn-plain", "SYNs without options from anywhere", SHAPE_SYN_PLAIN, FROM_PUBLIC, false, 0, false},
	{"syn-ack", "SYN-ACKs of no connection", SHAPE_SYN_ACK, FROM_PUBLIC, false, 0, false},
	{"syn-ack-v6", "IPv6 SYN-ACKs of no connection", SHAPE_SYN_ACK, FROM_PUBLIC, true, 0, false},
	{"rst", "RSTs of no connection", SHAPE_RST, FROM_PUBLIC, false, 0, false},
	{"rst-v6", "IPv6 RSTs of no connection", SHAPE_RST, FROM_PUBLIC, true, 0, false},
	{"fin", "FINs of no connection", SHAPE_FIN, FROM_PUBLIC, false, 0, false},
	{"fin-v6", "IPv6 FINs of no connection", SHAPE_FIN, FROM_PUBLIC, true, 0, false},
	{"echo", "pings from anywhere", SHAPE_ECHO, FROM_PUBLIC, false, 0, false},
	{"echo-v6", "IPv6 pings from anywhere", SHAPE_ECHO, FROM_PUBLIC, true, 0, false},
	{"udp-medium", "UDP of 594 bytes from anywhere", SHAPE_UDP_MEDIUM, FROM_PUBLIC, false, 0, false},
	{"udp-large", "UDP of 1514 bytes from anywhere", SHAPE_UDP_LARGE, FROM_PUBLIC, false, 0, false},
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
	{"lawful", "SYNs from --sources clients", SHAPE_SYN, FROM_MANY, false, 0, false},
	{"lawful-v6", "IPv6 SYNs from --sources clients", SHAPE_SYN, FROM_MANY, true, 0, false},
	{"n-sources-udp", "UDP from --sources addresses", SHAPE_UDP, FROM_MANY, false, 0, false},
	{"n-sources", "SYNs from --sources addresses", SHAPE_SYN, FROM_MANY, false, 0, false},
	{"n-sources-v6", "IPv6 SYNs from --sources addresses", SHAPE_SYN, FROM_MANY, true, 0, false},
};
#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

/* Several profiles by one name; one that stands there twice is sent twice as often. */
static const struct {
	const char *name, *profiles, *help;
} mixes[] = {
	{"mixed", "spoofed-syn,spoofed-udp,scan,ack,udp-amplification,fragments", "what a node sees in a bad hour"},
	{"imix",
	 "spoofed-udp,spoofed-udp,spoofed-udp,spoofed-udp,spoofed-udp,spoofed-udp,spoofed-udp,"
	 "udp-medium,udp-medium,udp-medium,udp-medium,udp-large",
	 "UDP of 60, 594 and 1514 bytes, 7 to 4 to 1"},
	{"strays", "ack,syn-ack,rst,fin", "segments of no connection"},
};
#define MIXES (sizeof(mixes) / sizeof(mixes[0]))

int flood_complain(const char *what, const char *about)
{
	fprintf(stderr, "flood: %s: %s\n", what, about);
	return 2;
}

/* A whole number of at most that much, or words and -1. */
static long long take_number(const char *text, long long most)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (!errno && end != text && !*end && number >= 0 && number <= most)
		return number;
	flood_complain("not a number that could be meant", text);
	return -1;
}

static int take_port(const char *text, __u16 *port)
{
	long long number = strcmp(text, "any") ? take_number(text, 65535) : 0;

	*port = number < 0 ? 0 : number;
	return number < 0 ? 2 : 0;
}

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
		return flood_complain("no such profile (see --help)", text);
	if (run->kind_count == FLOOD_KINDS)
		return flood_complain("more than 16 profiles", text);
	if (profile->any_port)
		port = 0;
	if (colon && take_port(colon, &port))
		return 2;
	if (flood_template(profile, &run->target, port, &run->kinds[run->kind_count]))
		return flood_complain("needs a --dst of its address family", profile->name);
	run->profiles[run->kind_count++] = profile;
	return 0;
}

static int add_profiles(struct run *run, const char *list)
{
	char row[1024], *rest, *text;
	unsigned i;
	int error = 0;

	for (i = 0; i < MIXES; i++)
		if (!strcmp(list, mixes[i].name))
			list = mixes[i].profiles;
	snprintf(row, sizeof(row), "%s", list);
	for (text = strtok_r(row, ",", &rest); text && !error; text = strtok_r(NULL, ",", &rest))
		error = add_profile(run, text);
	if (error)
		return error;
	if (!run->kind_count)
		return flood_complain("nothing to send", "--profile");
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
			return flood_complain("no address", text);
	}
	return 0;
}

static int set_cpus(struct run *run, const char *list)
{
	char row[256], *rest, *text;
	long long cpu;

	run->cpu_count = 0;
	snprintf(row, sizeof(row), "%s", list);
	for (text = strtok_r(row, ",", &rest); text; text = strtok_r(NULL, ",", &rest)) {
		if (run->cpu_count == CPUS_MAX)
			return flood_complain("more than 64 CPUs", list);
		cpu = take_number(text, 4095);
		if (cpu < 0)
			return 2;
		run->cpus[run->cpu_count++] = cpu;
	}
	return run->cpu_count ? 0 : flood_complain("no CPU", list);
}

static int set_interface(struct run *run, const char *name)
{
	struct ifreq request = {};
	int fd, error;

	run->interface = name;
	run->target.ifindex = if_nametoindex(name);
	if (!run->target.ifindex)
		return flood_complain("no such interface in this network namespace", name);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	error = fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request);
	if (fd >= 0)
		close(fd);
	if (error)
		return flood_complain("cannot read the MAC address", name);
	memcpy(run->target.from_mac, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

static int set_mac(struct run *run, const char *text)
{
	__u8 *mac = run->target.to_mac;

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		return flood_complain("no MAC address", text);
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
	       "  --replay FILE       instead of --profile: the packets of a capture, over and over, to --dst-mac; "
	       "with --dst to "
	       "that address\n"
	       "  --speed N           of a replay: N times as fast as it was captured (as --rate says)\n"
	       "  --on-demand         instead of --duration: floods for so many seconds as each line on standard input "
	       "says\n"
	       "profiles (NAME:PORT or NAME:any overrides --port):\n");
	for (i = 0; i < PROFILES; i++)
		printf("  %-21s %s\n", profiles[i].name, profiles[i].help);
	for (i = 0; i < MIXES; i++)
		printf("  %-21s %s\n", mixes[i].name, mixes[i].help);
	return 0;
}

static const struct option options[] = {
	{"iface", required_argument, NULL, 'i'},
	{"dst-mac", required_argument, NULL, 'm'},
	{"dst", required_argument, NULL, 'd'},
	{"profile", required_argument, NULL, 'p'},
	{"profiles", required_argument, NULL, 'p'},
	{"port", required_argument, NULL, 'P'},
	{"duration", required_argument, NULL, 't'},
	{"rate", required_argument, NULL, 'r'},
	{"cpu", required_argument, NULL, 'c'},
	{"batch", required_argument, NULL, 'b'},
	{"blocked", required_argument, NULL, 'B'},
	{"from", required_argument, NULL, 'f'},
	{"sources", required_argument, NULL, 'n'},
	{"seed", required_argument, NULL, 's'},
	{"on-demand", no_argument, NULL, 'o'},
	{"replay", required_argument, NULL, 'R'},
	{"speed", required_argument, NULL, 'S'},
	{"help", no_argument, NULL, 'h'},
	{},
};

static int take_plain(struct run *run, int option, const char *value)
{
	long long number = take_number(value, option == 'b' ? BATCH_MAX : 1LL << 40);

	if (option == 'r')
		run->rate = number;
	else if (option == 'b')
		run->batch = number;
	else if (option == 'n')
		run->many = number > MANY_MAX ? MANY_MAX : number;
	else
		run->seed = number;
	return number < 0 ? 2 : 0;
}

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
		return take_port(value, &run->target.port);
	case 't':
		run->seconds = atof(value);
		return 0;
	case 'B':
		run->blocked = value;
		return 0;
	case 'f':
		run->from = value;
		return 0;
	case 'r':
	case 'b':
	case 'n':
	case 's':
		return take_plain(run, option, value);
	case 'R':
		run->capture = value;
		return 0;
	case 'S':
		run->speed = atof(value);
		return run->speed > 0 && run->speed <= 1e6 ? 0 : flood_complain("above 0, up to 1000000", "--speed");
	case 'o':
		run->on_demand = true;
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
	if (!run->interface || !list == !run->capture || !memcmp(run->target.to_mac, no_mac, 6))
		return flood_complain("--iface, --dst-mac, --dst and --profile are needed, or --replay for --profile",
				      "usage (see --help)");
	if (run->speed && (!run->capture || run->rate || run->cpu_count > 1))
		return flood_complain("is for --replay from one CPU without --rate", "--speed");
	if (run->on_demand == !!run->seconds)
		return flood_complain("one of --duration and --on-demand is needed", "usage (see --help)");
	if (!run->on_demand && !flood_seconds_sane(run->seconds))
		return flood_complain("more than 0 and at most 3600 seconds", "--duration");
	if (!run->batch || run->batch > BATCH_MAX)
		return flood_complain("between 1 and 256", "--batch");
	return run->capture ? flood_capture_read(run) : add_profiles(run, list);
}

int main(int argc, char **argv)
{
	struct run run = {.target.port = 443, .many = 10000, .cpu_count = 1, .batch = 64, .seed = 1};
	int status;

	flood_heed_signals();
	status = parse(&run, argc, argv);
	if (!status)
		status = flood_load(&run);
	if (!status)
		status = run.on_demand ? flood_serve(&run) : flood_send(&run);
	flood_unload(&run);
	flood_capture_free(run.replay);
	return status;
}
