/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockops: what became of the connections that clients opened to a service. A connection is asked twice, when its
 * handshake is complete and when it ends; between the two the kernel keeps its sums itself.
 */
#ifndef BULWARK_ACCOUNTS_H
#define BULWARK_ACCOUNTS_H

#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_FIN_WAIT2 5
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

/* Of this CPU, begun with the first connection of the service; NULL: no room. A function of its own, or the compiler
 * makes one call of this look-up and the next, which the kernel then cannot write out in place. */
static __noinline struct connection_sums *far_sums_of(__u32 row)
{
	struct connection_sums *sums = bpf_map_lookup_elem(&connection_sums, &row);

	if (sums)
		return sums;
	bpf_map_update_elem(&connection_sums, &row, (void *)&no_sums, BPF_NOEXIST);
	return bpf_map_lookup_elem(&connection_sums, &row);
}

/* Those of the first services are found without a hash, which took a quarter of all that a connection costs here. */
static __always_inline struct connection_sums *sums_of(__u32 row)
{
	return row < NEAR_ROWS ? bpf_map_lookup_elem(&near_sums, &row) : far_sums_of(row);
}

/* What is older gives way where no slot is free: mostly its end was not seen, because no policy counted then. */
#define ACCOUNT_LIFE ((86400ULL * 1000000000) >> ACCOUNT_SINCE_SHIFT)

static __always_inline __u32 account_now(void)
{
	return now_ns() >> ACCOUNT_SINCE_SHIFT;
}

/* In a slot that is free, or whose connection is of that age at least; 0: of none. Functions of their own: both lines
 * are rarely looked at. */
__noinline int account_put(__u32 index, __u64 mine, __u32 age)
{
	struct slot_line *line = bpf_map_lookup_elem(&accounts, &index);

	if (!line)
		return 0;
	for (int i = 0; i < SLOTS_A_LINE; i++) {
		__u64 old = line->slot[i];

		if ((!old || (age && (__u32)mine - ACCOUNT_SINCE(old) >= age)) &&
		    __sync_val_compare_and_swap(&line->slot[i], old, mine) == old)
			return 1;
	}
	return 0;
}

__noinline __u64 account_take_from(__u32 index, __u64 print)
{
	struct slot_line *line = bpf_map_lookup_elem(&accounts, &index);

	if (!line)
		return 0;
	for (int i = 0; i < SLOTS_A_LINE; i++) {
		__u64 slot = line->slot[i];

		if (ACCOUNT_ROW(slot) && ACCOUNT_PRINT(slot) == print)
			return __sync_val_compare_and_swap(&line->slot[i], slot, 0) == slot ? slot : 0;
	}
	return 0;
}

/* false: no room. The socket's own storage would never be full, but takes the kernel two allocations a connection,
 * three times what all else here costs. */
static __always_inline int account_note(__u64 cookie, __u32 row)
{
	__u64 mine = ACCOUNT_SLOT(cookie, row, account_now());
	__u32 line = ACCOUNT_LINE(cookie), other = ACCOUNT_OTHER_LINE(line);

	return account_put(line, mine, 0) || account_put(other, mine, 0) || account_put(line, mine, ACCOUNT_LIFE) ||
	       account_put(other, mine, ACCOUNT_LIFE);
}

/* What was noted of a connection, once; 0: nothing. */
static __always_inline __u64 account_take(__u64 cookie)
{
	__u64 print = ACCOUNT_PRINT(ACCOUNT_SLOT(cookie, 0, 0));
	__u32 line = ACCOUNT_LINE(cookie);
	__u64 slot = account_take_from(line, print);

	return slot ? slot : account_take_from(ACCOUNT_OTHER_LINE(line), print);
}

static __always_inline void account_open(struct bpf_sock_ops *ops, __u32 row)
{
	struct connection_sums *sums = sums_of(row);
	__u32 rtt_us;

	if (!sums || !account_note(bpf_get_socket_cookie(ops), row))
		return;
	__sync_fetch_and_add(&sums->opened, 1); /* as in account_close() */
	/* from our SYN-ACK to its acknowledgement; 0: a SYN cookie, not known */
	rtt_us = OPS_WORD(ops, srtt_us, 0) >> 3;
	if (rtt_us)
		histogram_add(&sums->handshake_us, rtt_us);
}

/* How a connection ends whose state before was `from`. Where routers or neighbours told that the client cannot be
 * reached, the kernel remembers that, and gives it as the error when its own time is over, too. */
static __always_inline enum connection_end end_of(const struct tcp_sock *tcp, __u32 from)
{
	int error = tcp ? tcp->inet_conn.icsk_inet.sk.sk_err : 0;

	if (error == ERROR_RESET || error == ERROR_PIPE)
		return END_RESET;
	if (error && (error == ERROR_TIMED_OUT || error == tcp->inet_conn.icsk_inet.sk.sk_err_soft))
		return END_TIMEOUT;
	return error || from == TCP_STATE_ESTABLISHED || from == TCP_STATE_CLOSE_WAIT ? END_ABORT : END_FIN;
}

/* The kernel counts a FIN as a byte: the client's when it has come (not every close waits for it, and what is aborted
 * may have seen it), the service's when it is acknowledged. */
static __always_inline void account_bytes(struct connection_sums *sums, struct bpf_sock_ops *ops,
					  const struct tcp_sock *tcp, enum connection_end end)
{
	__u64 in = ops->bytes_received, out = ops->bytes_acked;
	int came = tcp && tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags & 1 << SOCK_DONE;
	int acknowledged = end == END_FIN || OPS_WORD(ops, args[0], 0) == TCP_STATE_FIN_WAIT2;

	sums->bytes[DIRECTION_OF_CLIENT] += in - (came && in);
	sums->bytes[DIRECTION_OF_SERVICE] += out - (acknowledged && out);
}

static __always_inline void account_close(struct bpf_sock_ops *ops)
{
	struct bpf_sock *socket = ops->sk;
	struct connection_sums *sums;
	struct tcp_sock *tcp;
	__u32 end, open;
	__u64 slot;

	slot = socket ? account_take(bpf_get_socket_cookie(ops)) : 0;
	sums = slot ? sums_of(ACCOUNT_ROW(slot)) : NULL;
	if (!sums)
		return;
	tcp = bpf_skc_to_tcp_sock(socket);
	end = end_of(tcp, OPS_WORD(ops, args[0], 0));
	/* At once, unlike the others: what is open is the difference, and this may run inside a system call, where a
	 * packet that ends another connection interrupts it. */
	if (end < END_COUNT)
		__sync_fetch_and_add(&sums->closed[end], 1);
	account_bytes(sums, ops, tcp, end);
	sums->segments[DIRECTION_OF_CLIENT] += OPS_WORD(ops, segs_in, 0);
	sums->segments[DIRECTION_OF_SERVICE] += OPS_WORD(ops, segs_out, 0);
	sums->retransmits += OPS_WORD(ops, total_retrans, 0);
	if (OPS_WORD(ops, srtt_us, 0))
		histogram_add(&sums->rtt_us, OPS_WORD(ops, srtt_us, 0) >> 3);
	open = account_now() - ACCOUNT_SINCE(slot);
	histogram_add(&sums->duration_ms, ((__u64)open << ACCOUNT_SINCE_SHIFT) / 1000000);
}

#endif
