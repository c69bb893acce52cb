/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One interface: what would happen if the shield were attached to it. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor.h"
#include "zones.h"

#define LINEAR_MTU 3498 /* above, a frame does not fit one page beside the headroom that XDP wants */

/* What attaching does to a driver beyond the rule, from its documentation and source. */
static const struct driver_note {
	const char *driver, *note;
} driver_notes[] = {
	{"veth",
	 "native XDP takes segmentation offload from the peer: bulk TCP falls to about half, small packets do not "
	 "suffer"},
	{"virtio_net", "native XDP turns receive offloads (GRO_HW, checksum) off and wants a queue pair for each CPU"},
	{"ena", "native XDP needs half of the queues to be free, and MTU 3498 or less"},
	{"ixgbe", "attaching resets the link for a moment"},
	{"i40e", "attaching resets the queues for a moment"},
	{"ice", "attaching resets the queues for a moment"},
	{"mlx5_core", "native XDP is refused while LRO or HW GRO is on, and re-makes the receive queues"},
	{"hv_netvsc", "the program runs on the synthetic and on the virtual function's queues"},
};

static int ethtool(const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	error = ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
	close(fd);
	return error;
}

static bool offload(const char *name, __u32 command)
{
	struct ethtool_value value = {.cmd = command};

	return !ethtool(name, &value) && value.data;
}

static bool flag(const char *name, __u32 mask)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};

	return !ethtool(name, &value) && value.data & mask;
}

static unsigned receive_queues(const struct host_link *link)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	if (!ethtool(link->name, &channels) && channels.rx_count + channels.combined_count)
		return channels.rx_count + channels.combined_count;
	return link->rx_queues;
}

static void about_mode(struct doctor *doctor, const struct host_link *link)
{
	struct driver_features features;
	const char *driver = *link->driver ? link->driver : "unknown";

	if (driver_features(link->ifindex, &features) || !features.known) {
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL,
			   "driver %s; this kernel does not tell what it can do with XDP: apply tries native mode and "
			   "says so "
			   "when it has to take generic mode",
			   driver);
		return;
	}
	if (!features.native) {
		doctor_say(doctor, LEVEL_WARNING, link->name, NULL,
			   "driver %s has no native XDP: generic mode, which costs several times as much a packet",
			   driver);
		return;
	}
	doctor_say(doctor, LEVEL_OK, link->name, NULL, "driver %s: native XDP", driver);
	if (link->mtu > LINEAR_MTU && !features.frags)
		doctor_say(doctor, LEVEL_WARNING, link->name, "lower the MTU to 3498, or accept generic mode",
			   "MTU %u, and the driver takes no frames of several buffers in native mode", link->mtu);
	for (size_t i = 0; i < sizeof(driver_notes) / sizeof(*driver_notes); i++)
		if (!strcmp(driver_notes[i].driver, driver))
			doctor_say(doctor, LEVEL_NOTE, link->name, NULL, "%s", driver_notes[i].note);
}

static void about_offloads(struct doctor *doctor, const struct host_link *link)
{
	const struct host_link *vlan = stripped_vlan(&doctor->host, link);
	char remedy[96];

	if (flag(link->name, ETH_FLAG_LRO)) {
		snprintf(remedy, sizeof(remedy), "ethtool -K %s lro off", link->name);
		doctor_say(doctor, LEVEL_WARNING, link->name, remedy,
			   "LRO is on: many drivers refuse native XDP with it, and packets are counted merged");
	}
	if (vlan) {
		snprintf(remedy, sizeof(remedy), "ethtool -K %s rxvlan off, for a policy with zones", link->name);
		doctor_say(doctor, LEVEL_NOTE, link->name, remedy,
			   "VLAN tags are taken off by the card (rx-vlan): frames of %s are judged, but nothing tells "
			   "them from those of other networks: apply refuses a zone that has either in it",
			   vlan->name);
	} else if (flag(link->name, ETH_FLAG_RXVLAN)) {
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL,
			   "VLAN tags are taken off by the card (rx-vlan): frames of every VLAN are judged, events do "
			   "not name it");
	}
	if (offload(link->name, ETHTOOL_GGRO))
		doctor_say(
			doctor, LEVEL_OK, link->name, NULL,
			"GRO is on: it comes after native XDP; in generic mode a merged packet counts as its segments");
}

static void about_queues(struct doctor *doctor, const struct host_link *link)
{
	unsigned queues = receive_queues(link);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	doctor_say(doctor, LEVEL_OK, link->name, NULL, "MTU %u, %u receive %s, %ld CPUs", link->mtu, queues,
		   queues == 1 ? "queue" : "queues", cpus);
	if (queues == 1 && cpus > 1)
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL,
			   "with one receive queue one CPU judges every packet: more queues spread a flood");
}

static void about_programs(struct doctor *doctor, const struct host_link *link)
{
	struct packet_program *programs = NULL;
	size_t count = 0;

	if (packet_programs(doctor->instance, link->ifindex, &programs, &count)) {
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL, "%s", kernel_words());
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct packet_program *program = &programs[i];
		bool xdp = !strncmp(program->hook, "xdp", 3);

		if (program->ours)
			doctor_say(doctor, LEVEL_OK, link->name, NULL, "%s program '%s' (id %u) is ours", program->hook,
				   program->name, program->id);
		else
			doctor_say(doctor, xdp ? LEVEL_PROBLEM : LEVEL_NOTE, link->name,
				   xdp ? "remove it first; Bulwark never displaces it" : NULL,
				   "%s program '%s' (id %u) of somebody else", program->hook, program->name,
				   program->id);
	}
	free(programs);
}

static void about_place(struct doctor *doctor, const struct host_link *link)
{
	char *names[] = {(char *)link->name};
	const struct host_link **below = NULL;
	struct report report = {};
	size_t count = 0;

	if (!link->up)
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL, "it is down");
	if (link->bridge_port)
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL,
			   "a port of a bridge: what crosses the bridge to others is judged as forwarded");
	if (!host_interfaces(&doctor->host, names, NULL, 1, &below, &count, &report))
		for (size_t i = 0; i < count; i++)
			if (below[i] != link)
				doctor_say(doctor, LEVEL_NOTE, link->name, NULL, "the shield goes on %s below it",
					   below[i]->name);
	free(below);
	report_free(&report);
}

void doctor_interface(struct doctor *doctor, const struct host_link *link)
{
	if (link->bare) {
		doctor_say(doctor, LEVEL_NOTE, link->name, NULL,
			   "its packets have no Ethernet header: nothing is attached there, what it carries is judged "
			   "by its "
			   "outer header on the interface that it comes in by");
		return;
	}
	about_place(doctor, link);
	about_mode(doctor, link);
	about_queues(doctor, link);
	about_offloads(doctor, link);
	about_programs(doctor, link);
}
