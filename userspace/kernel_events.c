/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ring of events, drained by whoever writes the log. */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>

struct event_ring {
	struct ring_buffer *ring;
	void (*tell)(void *arg, const struct event *event);
	void *arg;
};

static int take(void *context, void *data, size_t size)
{
	struct event_ring *ring = context;

	if (size >= sizeof(struct event))
		ring->tell(ring->arg, data);
	return 0;
}

int event_ring_open(struct instance *instance, void (*tell)(void *arg, const struct event *event), void *arg,
		    struct event_ring **result)
{
	struct event_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	*ring = (struct event_ring){.tell = tell, .arg = arg};
	ring->ring = ring_buffer__new(instance->maps[MAP_events], take, ring, NULL);
	if (!ring->ring) {
		int error = errno ? -errno : -ENOMEM;

		kernel_say("cannot open the ring of events: %s", strerror(-error));
		free(ring);
		return error;
	}
	*result = ring;
	return 0;
}

int event_ring_fd(struct event_ring *ring)
{
	return ring_buffer__epoll_fd(ring->ring);
}

int event_ring_drain(struct event_ring *ring)
{
	return ring_buffer__consume(ring->ring);
}

void event_ring_close(struct event_ring *ring)
{
	if (!ring)
		return;
	ring_buffer__free(ring->ring);
	free(ring);
}
