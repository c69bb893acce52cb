/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ring of events, drained by whoever writes the log. */
#include "kernel_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* In the ring: behind a header of 8 bytes, aligned to 8. */
#define RECORD_BYTES ((sizeof(struct event) + 8 + 7) & ~7ul)

struct event_ring {
	struct ring_buffer *ring;
	event_teller *tell;
	void *arg;
	const __u64 *consumer, *producer; /* positions in bytes since the ring was made, each on a page of its own */
};

/* Events taken out of the ring since it was made; each stands there as taken when its teller has returned. */
static __u64 taken(const struct event_ring *ring)
{
	return __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE) / RECORD_BYTES;
}

static int take(void *context, void *data, size_t size)
{
	struct event_ring *ring = context;

	if (size >= sizeof(struct event))
		ring->tell(ring->arg, data, taken(ring) + 1);
	return 0;
}

void event_ring_close(struct event_ring *ring)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (!ring)
		return;
	ring_buffer__free(ring->ring);
	if (ring->consumer)
		munmap((void *)ring->consumer, page);
	if (ring->producer)
		munmap((void *)ring->producer, page);
	free(ring);
}

__u64 event_ring_taken(const struct event_ring *ring)
{
	return taken(ring);
}

__u64 event_ring_waiting(const struct event_ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) / RECORD_BYTES - taken(ring);
}

static const __u64 *map_position(int map, size_t page, off_t at)
{
	void *position = mmap(NULL, page, PROT_READ, MAP_SHARED, map, at);

	return position == MAP_FAILED ? NULL : position;
}

int event_ring_open(struct instance *instance, event_teller *tell, void *arg, struct event_ring **result)
{
	struct event_ring *ring = calloc(1, sizeof(*ring));
	size_t page = sysconf(_SC_PAGESIZE);

	if (!ring)
		return -ENOMEM;
	*ring = (struct event_ring){.tell = tell, .arg = arg};
	ring->consumer = map_position(instance->maps[MAP_events], page, 0);
	ring->producer = map_position(instance->maps[MAP_events], page, (off_t)page);
	ring->ring = ring_buffer__new(instance->maps[MAP_events], take, ring, NULL);
	if (!ring->ring || !ring->consumer || !ring->producer) {
		int error = errno ? -errno : -ENOMEM;

		kernel_say("cannot open the ring of events: %s", strerror(-error));
		event_ring_close(ring);
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
