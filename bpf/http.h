/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1 on plain ports: the head of a request, where a segment begins with one. The first head of a connection is
 * gathered when it comes in several segments, like a ClientHello; later ones are judged as far as a segment shows them.
 */
#ifndef BULWARK_HTTP_H
#define BULWARK_HTTP_H

#define PATH_SEGMENTS 8		  /* a path in a policy has no more */
#define REQUEST_READ REASON_SLOTS /* a head is whole, and to be judged */

/* A function of its own: the verifier does not follow what is behind its pointers. */
__noinline int read_request(struct first_bytes *bytes, __u32 length, __u32 flags, struct http_request *request)
{
	return bytes && request ? request_read(bytes, length, flags & HTTP_PATHS, flags & HTTP_HOSTS, request)
				: REQUEST_SPLIT;
}

struct path_walk {
	const struct first_bytes *bytes;
	struct http_request *request; /* what changes is in there, where the verifier does not follow it */
	__u64 lists;
	__u32 number;
	__u32 unused;
};

/* At the end of each segment: what the policy has of the path so far must let the source in. */
SHARED_STEP(path_step)
{
	const struct path_walk *walk = context;
	struct http_request *request = walk->request;
	__u32 byte = byte_at(walk->bytes, REQUEST_PATH + request->compared);
	const __u64 *allowed;

	if (request->compared < request->clean && byte != '/') {
		request->compared++;
		return 0;
	}
	allowed = name_find(hash_name(walk->bytes, REQUEST_PATH, request->compared, NAME_PATH, walk->number));
	request->denied |= allowed && !(*allowed & walk->lists);
	request->compared++;
	request->segments++;
	return request->denied || request->compared >= request->clean || request->segments == PATH_SEGMENTS;
}

/* One that climbs may lie anywhere. */
static __always_inline enum reason judge_path(const struct first_bytes *bytes, struct http_request *request,
					      const struct http_entry *http, __u64 lists)
{
	struct path_walk walk = {bytes, request, lists, http->number, 0};

	request->compared = 1; /* behind the first slash */
	if (!request->unclear && request->clean > 1)
		walk_steps(NAME_BYTES, path_step, &walk);
	return request->unclear || request->denied ? REASON_HTTP_PATH : REASON_NONE;
}

static __always_inline enum reason judge_head(const struct first_bytes *bytes, struct http_request *request,
					      const struct http_entry *http, __u64 lists)
{
	if (http->flags & HTTP_METHODS &&
	    !name_find(hash_name(bytes, 0, request->method_length, NAME_METHOD, http->number)))
		return REASON_HTTP_METHOD;
	if (http->flags & HTTP_HOSTS &&
	    (!request->host_length || !host_known(bytes, request->host, request->host_length, NAME_HOST, http->number)))
		return REASON_HTTP_HOST;
	return http->flags & HTTP_PATHS ? judge_path(bytes, request, http, lists) : REASON_NONE;
}

/* Functions of their own: the verifier does not follow what is behind their pointers. */
__noinline int find_clients(struct first_bytes *bytes, struct http_request *request)
{
	return bytes && request ? forwarded_find(bytes, request) : REQUEST_SPLIT;
}

__noinline int read_client(struct partial *here, __u32 hops)
{
	if (!here || here->request.client != REQUEST_WHOLE)
		return -1;
	return forwarded_client(&here->bytes, &here->request, hops, &here->address, here->client.source.byte);
}

/* Whose request it is: the source, or the client that it speaks for. NULL: the client is not shown. */
static __always_inline const struct flow *client_of(const struct packet *pkt, const struct http_entry *http,
						    struct partial *here)
{
	struct flow *client = &here->client;

	if (constants.have_clients && here->request.by_proxy) {
		if (read_client(here, http->hops))
			return NULL;
	} else if (constants.have_proxied && http->flags & HTTP_PROXIED) {
		const struct proxied *known = proxied_find(pkt);

		if (!known || known->state == PROXY_LOCAL)
			return &pkt->flow;
		if (known->state == PROXY_HIDDEN)
			return NULL;
		client->source = known->client;
	} else {
		return &pkt->flow;
	}
	client->ipv6 = !is_mapped(&client->source);
	client->zone = pkt->flow.zone;
	return client;
}

static __always_inline int within_requests(const struct flow *flow, const struct http_entry *http, __u64 lists)
{
	const struct limit_entry *limit = &http->requests;
	struct counted counted = {.length = NOT_COUNTED};
	__u64 hash;

	if (!counts_source(limit, lists))
		return 1;
	hash = hash_counted(&counted, flow, limit);
	return limiter_take(hash, (hash >> 40) ^ (limit->id << 1 | 1), limiter_units(limit->cost >> 10),
			    limiter_units(limit->tolerance_ns));
}

/* What take_request() has read. */
__noinline int judge_request(const struct packet *pkt, const struct http_entry *http)
{
	struct partial *here = scratch_here();
	const struct class_entry *class;
	const struct flow *client;
	enum reason why;
	__u64 lists;

	if (!pkt || !http || !here)
		return REASON_NONE;
	class = source_class(&pkt->flow);
	lists = class ? class->lists : 0;
	why = judge_head(&here->bytes, &here->request, http, lists);
	if (why || !http->requests.cost)
		return why;
	client = client_of(pkt, http, here);
	if (!client)
		return REASON_HTTP_CLIENT;
	if ((constants.have_clients || constants.have_proxied) && client != &pkt->flow) {
		class = source_class(client);
		lists = class ? class->lists : 0;
	}
	return within_requests(client, http, lists) ? REASON_NONE : REASON_RATE_REQUESTS;
}

static __always_inline int request_reason(enum request_state state)
{
	switch (state) {
	case REQUEST_WHOLE:
		return REQUEST_READ;
	case REQUEST_MORE:
		return REASON_NONE;
	case REQUEST_SPLIT:
		return REASON_HTTP_SPLIT;
	case REQUEST_HTTP2:
		return REASON_HTTP_2;
	default:
		return REASON_HTTP_NOT_HTTP;
	}
}

/* Whether the source speaks for clients, of whom its requests tell. */
static __always_inline int speaks_for_clients(const struct packet *pkt, const struct http_entry *http)
{
	const struct class_entry *class;

	if (!constants.have_clients || !http->hops)
		return 0;
	class = source_class(&pkt->flow);
	return class && class->flags & CLASS_PROXY;
}

/* A client is looked for in the whole head: of the first request of a connection it is waited for. */
static __always_inline enum request_state wait_for_client(struct partial *here, enum gathered how)
{
	here->request.by_proxy = 1;
	here->request.client = find_clients(&here->bytes, &here->request);
	return how == GATHERED_BYTES && here->request.client == REQUEST_MORE && here->have < FIRST_BYTES
		       ? REQUEST_MORE
		       : REQUEST_WHOLE;
}

/*
 * The first request of a connection, however it is cut. A later segment counts where it begins with a whole head: the
 * others hold what is left of a request, or its body. REQUEST_READ, or the reason that ends it.
 */
__noinline int take_request(struct __sk_buff *skb, const struct packet *pkt, const struct segment *segment,
			    const struct http_entry *http)
{
	enum request_state state = REQUEST_MORE;
	struct partial *here = scratch_here();
	int how;

	if (!pkt || !segment || !http || !here)
		return REASON_NONE;
	how = gather(skb, pkt, segment);
	here->begins = 0;
	if (how > GATHERED_BYTES)
		return gather_reason(how, REASON_HTTP_SPLIT);
	if (how == GATHERED_NOTHING)
		here->have = take_bytes(skb, segment, here->bytes.byte);
	__builtin_memset(&here->request, 0, sizeof(here->request));
	if (here->have)
		state = read_request(&here->bytes, here->have, http->flags, &here->request);
	if (state == REQUEST_WHOLE && speaks_for_clients(pkt, http))
		state = wait_for_client(here, how);
	here->begins = how == GATHERED_BYTES;
	here->more = state == REQUEST_MORE;
	if (how == GATHERED_NOTHING && state != REQUEST_WHOLE)
		return REASON_NONE;
	return request_reason(state);
}

/* Reasons for which `unknown` has the verdict. */
static __always_inline int http_unknown(enum reason why)
{
	return why == REASON_HTTP_SPLIT || why == REASON_HTTP_2 || why == REASON_HTTP_CLIENT ||
	       why == REASON_PROXY_SPLIT;
}

/* Whether the rule lets pass what it finds. */
static __always_inline int http_passes(const struct http_entry *http, enum reason why)
{
	return !why || http->flags & HTTP_MONITOR || (http_unknown(why) && !(http->flags & HTTP_UNKNOWN_DROP));
}

/* What is refused gets to the server in no part: it is judged again when it comes again. */
__noinline int keep_request(const struct packet *pkt, const struct segment *segment, const struct http_entry *http,
			    int why)
{
	struct partial *here = scratch_here();

	if (!pkt || !segment || !http || !here || !here->begins || !http_passes(http, why))
		return why;
	return gathered(pkt, segment, here, here->more, 0) ? why : REASON_FIRST_CHANGED;
}

static __always_inline enum reason judge_http(struct __sk_buff *skb, const struct packet *pkt,
					      const struct segment *segment, const struct http_entry *http)
{
	int why = take_request(skb, pkt, segment, http);

	if (why == REQUEST_READ)
		why = judge_request(pkt, http);
	return keep_request(pkt, segment, http, why);
}

#endif
