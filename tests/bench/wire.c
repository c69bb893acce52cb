/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wire FROM TO MAC [NET NET]: frames that come in on FROM go out of TO, to MAC, as long as this program runs. With two
 * networks (both /24): of the IPv4 packets that come in on TO only those to them are let in.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.skel.h"

static int read_mac(const char *interface, __u8 mac[6])
{
	struct ifreq request = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		error = -errno;
	if (fd >= 0)
		close(fd);
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return error;
}

static int attach(struct wire_bpf *bpf, unsigned from, unsigned to)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	__u32 zero = 0;
	int error = wire_bpf__load(bpf);

	error = error ?: bpf_map_update_elem(bpf_map__fd(bpf->maps.out), &zero, &to, BPF_ANY);
	if (error)
		return error;
	/* the descriptors are the links: they go when this process does */
	error = bpf_link_create(bpf_program__fd(bpf->progs.wire), from, BPF_XDP, &opts);
	if (error >= 0 && bpf->rodata->home_mask)
		error = bpf_link_create(bpf_program__fd(bpf->progs.home), to, BPF_XDP, &opts);
	return error;
}

int main(int argc, char **argv)
{
	struct wire_bpf *bpf = wire_bpf__open();
	__u8 to[6], from[6];
	int error;

	if ((argc != 4 && argc != 6) ||
	    sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) != 6) {
		fprintf(stderr, "usage: wire FROM TO MAC [NET NET]\n");
		return 2;
	}
	error = bpf ? read_mac(argv[2], from) : -errno;
	if (!error) {
		memcpy((void *)bpf->rodata->to_mac, to, sizeof(to));
		memcpy((void *)bpf->rodata->from_mac, from, sizeof(from));
		if (argc == 6) {
			bpf->rodata->home_net = inet_addr(argv[4]);
			bpf->rodata->node_net = inet_addr(argv[5]);
			bpf->rodata->home_mask = htonl(0xffffff00);
		}
		error = attach(bpf, if_nametoindex(argv[1]), if_nametoindex(argv[2]));
	}
	if (error < 0) {
		fprintf(stderr, "wire: cannot connect %s to %s: %s\n", argv[1], argv[2], strerror(-error));
		return 3;
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
