/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockops: what became of the connections that clients opened to a service. A connection is asked twice, when its
 * handshake is complete and when it ends; between the two the kernel keeps its sums itself.
 */
#ifndef BULWARK_ACCOUNTS_H
#define BULWARK_ACCOUNTS_H

#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_CLOSE_WAIT 8
#define ERROR_TIMED_OUT 110
#define ERROR_RESET 104
#define ERROR_PIPE 32

static __always_inline void histogram_add(struct histogram *histogram, __u64 value)
{
	__u32 bucket = 0;

	for (int bits = 16; bits; bits /= 2)
		if (value >> (bucket + bits))
			bucket += bits;
	bucket += value >> bucket & 1; /* the number of bits in the value: it is below 2 to the power of it */
	if (bucket >= HISTOGRAM_BUCKETS)
		bucket = HISTOGRAM_BUCKETS;
	histogram->bucket[bucket]++;
	histogram->sum += value;
}

/* Of this CPU, begun with the first connection of the service; NULL: no room. */
static __always_inline struct connection_sums *sums_of(__u32 row)
{
	struct connection_sums *sums = bpf_map_lookup_elem(&connection_sums, &row);

	if (sums)
		return sums;
	bpf_map_update_elem(&connection_sums, &row, (void *)&no_sums, BPF_NOEXIST);
	return bpf_map_lookup_elem(&connection_sums, &row);
}

static __always_inline void account_open(struct bpf_sock_ops *ops, const struct flow *flow)
{
	struct connection_sums *sums;
	struct bpf_sock *socket = ops->sk;
	const struct service_entry *service;
	struct account *account;
	__u32 rtt_us;
	__u16 index;

	service = service_of(flow, &index);
	if (!service || !socket)
		return;
	sums = sums_of(service->row);
	account = bpf_sk_storage_get(&accounts, socket, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sums || !account)
		return;
	account->row = service->row;
	account->since_ns = now_ns();
	sums->opened++;
	/* from our SYN-ACK to its acknowledgement; 0: a SYN cookie, not known */
	rtt_us = OPS_WORD(ops, srtt_us, 0) >> 3;
	if (rtt_us)
		histogram_add(&sums->handshake_us, rtt_us);
	/* what other programs asked for stays */
	bpf_sock_ops_cb_flags_set(ops, OPS_WORD(ops, bpf_sock_ops_cb_flags, 0) | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* How a connection ends whose state before was `from`. */
static __always_inline enum connection_end end_of(struct bpf_sock *socket, __u32 from)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(socket);
	int error = tcp ? tcp->inet_conn.icsk_inet.sk.sk_err : 0;

	if (error == ERROR_RESET || error == ERROR_PIPE)
		return END_RESET;
	if (error == ERROR_TIMED_OUT)
		return END_TIMEOUT;
	return error || from == TCP_STATE_ESTABLISHED || from == TCP_STATE_CLOSE_WAIT ? END_ABORT : END_FIN;
}

static __always_inline void account_close(struct bpf_sock_ops *ops)
{
	__u32 row, end, from = OPS_WORD(ops, args[0], 0);
	struct bpf_sock *socket = ops->sk;
	struct connection_sums *sums;
	struct account *account;

	if (!socket)
		return;
	account = bpf_sk_storage_get(&accounts, socket, NULL, 0);
	if (!account || !account->row)
		return;
	row = account->row;
	account->row = 0; /* once */
	sums = sums_of(row);
	if (!sums)
		return;
	end = end_of(socket, from);
	if (end < END_COUNT)
		sums->closed[end]++;
	/* the kernel counts a FIN as a byte */
	sums->bytes[DIRECTION_OF_CLIENT] += ops->bytes_received - (end == END_FIN && ops->bytes_received);
	sums->bytes[DIRECTION_OF_SERVICE] += ops->bytes_acked - (end == END_FIN && ops->bytes_acked);
	sums->segments[DIRECTION_OF_CLIENT] += OPS_WORD(ops, segs_in, 0);
	sums->segments[DIRECTION_OF_SERVICE] += OPS_WORD(ops, segs_out, 0);
	sums->retransmits += OPS_WORD(ops, total_retrans, 0);
	if (OPS_WORD(ops, srtt_us, 0))
		histogram_add(&sums->rtt_us, OPS_WORD(ops, srtt_us, 0) >> 3);
	histogram_add(&sums->duration_ms, (now_ns() - account->since_ns) / 1000000);
}

#endif
