/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What IPsec has decrypted in tunnel mode comes in once more by the same device: past native XDP, but to TC ingress. It
 * was judged by its outer header, and nobody without the keys can send it.
 */
#ifndef BULWARK_DECRYPTED_H
#define BULWARK_DECRYPTED_H

static __always_inline int is_decrypted(struct __sk_buff *skb)
{
	struct bpf_xfrm_state state;

	return constants.decrypts && !bpf_skb_get_xfrm_state(skb, 0, &state, sizeof(state), 0);
}

#endif
