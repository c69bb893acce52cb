/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host as a whole: kernel, mounts, sysctls, NAT, programs on every socket. */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "doctor.h"
#include "host_parts.h"

static void about_kernel(struct doctor *doctor)
{
	struct kernel_features features;
	struct utsname name = {};

	uname(&name);
	if (kernel_supported()) {
		doctor_say(doctor, LEVEL_PROBLEM, "kernel", "boot Linux 6.1 or later", "%s", kernel_words());
		return;
	}
	kernel_features(&features);
	doctor_say(
		doctor, LEVEL_OK, "kernel", NULL, "Linux %s has what is needed; outbound by %s, conntrack look-up %s",
		name.release, features.tcx ? "tcx" : "a clsact filter (tcx comes with 6.6)",
		features.conntrack_lookup ? "there" : "missing: forwarded connections are followed by our own table");
	if (!features.jit)
		doctor_say(doctor, LEVEL_WARNING, "kernel", "sysctl net.core.bpf_jit_enable=1",
			   "the BPF compiler is off: every packet costs several times as much");
}

static void about_mounts(struct doctor *doctor)
{
	const char *pins = doctor->context->places.pin_dir;

	switch (bpffs_look(&doctor->context->places)) {
	case BPFFS_NONE:
		doctor_say(doctor, LEVEL_NOTE, "mounts", NULL, "no bpffs at %s yet: apply mounts one", pins);
		break;
	case BPFFS_OF_HOST:
		doctor_say(doctor, LEVEL_OK, "mounts", NULL, "the bpffs of %s is the host's", pins);
		break;
	case BPFFS_PRIVATE:
		doctor_say(doctor, LEVEL_PROBLEM, "mounts",
			   "run it in the host's mount namespace (nsenter --net keeps it, ip netns exec does not), or "
			   "with --ephemeral",
			   "the bpffs of %s is not one that process 1 sees: protection would end with this mount "
			   "namespace",
			   pins);
		break;
	}
}

static int sysctl_read(const char *name, int *value)
{
	char path[128];
	FILE *file;
	int got;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	file = fopen(path, "re");
	got = file ? fscanf(file, "%d", value) : 0;
	if (file)
		fclose(file);
	return got == 1 ? 0 : -ENOENT;
}

static void about_sysctls(struct doctor *doctor)
{
	struct kernel_features features;
	int value;

	if (!sysctl_read("ipv4/tcp_syncookies", &value)) {
		if (value == 0)
			doctor_say(doctor, LEVEL_WARNING, "sysctl", "sysctl net.ipv4.tcp_syncookies=1",
				   "tcp_syncookies is 0: a SYN flood on a declared port fills its queue");
		else if (value == 2 && (kernel_features(&features), !features.own_cookies))
			doctor_say(doctor, LEVEL_OK, "sysctl", NULL,
				   "tcp_syncookies is 2, as syn-cookies need it on this kernel");
		else if (value == 2)
			doctor_say(doctor, LEVEL_NOTE, "sysctl", "sysctl net.ipv4.tcp_syncookies=1",
				   "tcp_syncookies is 2: every handshake of this host is a cookie");
		else
			doctor_say(doctor, LEVEL_OK, "sysctl", NULL, "tcp_syncookies is %d", value);
	}
	if (!sysctl_read("ipv4/tcp_timestamps", &value))
		doctor_say(doctor, value ? LEVEL_OK : LEVEL_NOTE, "sysctl",
			   value ? NULL : "sysctl net.ipv4.tcp_timestamps=1",
			   value ? "tcp_timestamps is %d"
				 : "tcp_timestamps is %d: cookies cannot carry window scale and SACK",
			   value);
}

/* ---- NAT ---- */

static int on_chain(const struct nlmsghdr *message, void *arg)
{
	struct nlattr *attributes[NFTA_CHAIN_MAX + 1] = {};
	char *nat = arg;
	size_t used = strlen(nat);

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(struct nfgenmsg), attributes, NFTA_CHAIN_MAX, NULL) < 0 ||
	    !attributes[NFTA_CHAIN_TYPE] || strcmp(nla_get_string(attributes[NFTA_CHAIN_TYPE]), "nat") ||
	    !attributes[NFTA_CHAIN_TABLE] || !attributes[NFTA_CHAIN_NAME])
		return 0;
	snprintf(nat + used, 256 - used, "%s%s %s", used ? ", " : "", nla_get_string(attributes[NFTA_CHAIN_TABLE]),
		 nla_get_string(attributes[NFTA_CHAIN_NAME]));
	return 0;
}

static bool legacy_nat(void)
{
	FILE *tables = fopen("/proc/net/ip_tables_names", "re");
	char name[64];
	bool found = false;

	while (tables && !found && fscanf(tables, "%63s", name) == 1)
		found = !strcmp(name, "nat");
	if (tables)
		fclose(tables);
	return found;
}

static void about_nat(struct doctor *doctor)
{
	struct nfgenmsg chains = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
	char nat[256] = "";
	int loose;

	netlink_dump(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, &chains, sizeof(chains), on_chain,
		     nat);
	if (!*nat && legacy_nat())
		snprintf(nat, sizeof(nat), "iptables nat");
	if (*nat)
		doctor_say(doctor, LEVEL_NOTE, "nat", NULL,
			   "this host translates addresses (%s): ports are judged as they are on the wire, before DNAT",
			   nat);
	else
		doctor_say(doctor, LEVEL_OK, "nat", NULL, "no address translation");
	if (!sysctl_read("netfilter/nf_conntrack_tcp_loose", &loose) && loose && *nat)
		doctor_say(
			doctor, LEVEL_NOTE, "nat", "sysctl net.netfilter.nf_conntrack_tcp_loose=0",
			"connection tracking is loose: it takes up TCP connections in their middle, also forged ones");
	if (doctor->host.forwards)
		doctor_say(doctor, LEVEL_NOTE, "forwarding", NULL,
			   "this host forwards: packets to other addresses go as `forward:` in the policy says "
			   "(default pass)");
}

static void about_sockops(struct doctor *doctor)
{
	struct packet_program *programs = NULL;
	size_t count = 0;

	if (packet_programs(doctor->instance, 0, &programs, &count))
		return;
	for (size_t i = 0; i < count; i++)
		doctor_say(doctor, LEVEL_NOTE, "programs", NULL,
			   "%s program '%s' (id %u) of somebody else on every socket", programs[i].hook,
			   programs[i].name, programs[i].id);
	free(programs);
}

void doctor_host(struct doctor *doctor)
{
	about_kernel(doctor);
	about_mounts(doctor);
	about_sysctls(doctor);
	about_nat(doctor);
	about_sockops(doctor);
}
