/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel says of a connection's bytes. A file of its own: its struct tcp_info and that of the C library, which
 * lacks them, cannot be had together. */
#include <linux/tcp.h>
#include <string.h>

#include "host_senders.h"

bool sight_from(const void *data, size_t length, struct slow_sight *sight)
{
	struct tcp_info info = {};

	if (length < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(info.tcpi_bytes_retrans))
		return false;
	memcpy(&info, data, length < sizeof(info) ? length : sizeof(info));
	sight->received = info.tcpi_bytes_received;
	sight->sent = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
	sight->since_received_ms = info.tcpi_last_data_recv;
	sight->since_sent_ms = info.tcpi_last_data_sent;
	return true;
}
