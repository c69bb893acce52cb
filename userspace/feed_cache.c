/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files of feeds that were read before. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "feed_cache.h"

/* Whoever changes the meaning of what is kept, or of the text, changes this. */
#define MAGIC 0x31307364656566bdULL
#define CHUNK (1u << 20)

/* What is kept and not yet written. */
struct pending {
	struct pending *next;
	struct feed_cache cache;
	__u8 items[];
};

static const char *state;
static struct pending *pending;

void feed_cache_use(const char *state_dir)
{
	state = state_dir;
}

/* ---- hashes ---- */

static void hash_take(__u64 hash[2], XXH128_hash_t from)
{
	hash[0] = from.low64;
	hash[1] = from.high64;
}

static __u64 header_hash(const struct feed_cache_header *header)
{
	return XXH3_64bits_withSeed(header, offsetof(struct feed_cache_header, header_hash), header->seed);
}

/* Of the whole file, which is rewound. */
static bool hash_text(int fd, struct feed_cache_header *header)
{
	XXH3_state_t *hash = XXH3_createState();
	char *chunk = malloc(CHUNK);
	ssize_t bytes = -1;

	header->text_bytes = 0;
	if (hash && chunk) {
		XXH3_128bits_reset_withSeed(hash, header->seed);
		while ((bytes = read(fd, chunk, CHUNK)) > 0) {
			XXH3_128bits_update(hash, chunk, (size_t)bytes);
			header->text_bytes += (__u64)bytes;
		}
		hash_take(header->text_hash, XXH3_128bits_digest(hash));
	}
	free(chunk);
	XXH3_freeState(hash);
	return !bytes && !lseek(fd, 0, SEEK_SET);
}

/* ---- looking ---- */

static size_t items_bytes(const struct feed_cache_header *header)
{
	return header->v4_count * sizeof(struct prefix4) + header->v6_count * sizeof(struct prefix6);
}

/* A file of ours alone, whole, and of this version: its content, which starts with the header; NULL otherwise. */
static void *map_kept(const char *path, size_t *length)
{
	const struct feed_cache_header *header;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	void *memory = MAP_FAILED;

	if (fd >= 0 && !fstat(fd, &status) && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	    !(status.st_mode & 022) && (size_t)status.st_size >= sizeof(*header)) {
		*length = (size_t)status.st_size;
		memory = mmap(NULL, *length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	}
	if (fd >= 0)
		close(fd);
	if (memory == MAP_FAILED)
		return NULL;
	header = memory;
	if (header->magic == MAGIC && header->header_hash == header_hash(header) &&
	    header->v4_count <= FEED_PREFIXES_MAX && header->v6_count <= FEED_PREFIXES_MAX &&
	    *length == sizeof(*header) + items_bytes(header))
		return memory;
	munmap(memory, *length);
	return NULL;
}

static bool items_whole(const struct feed_cache_header *header)
{
	__u64 hash[2];

	hash_take(hash, XXH3_128bits_withSeed(header + 1, items_bytes(header), header->seed));
	return !memcmp(hash, header->items_hash, sizeof(hash));
}

static bool reserve(void **items, size_t size, size_t needed, size_t *capacity)
{
	void *grown = needed > *capacity ? realloc(*items, needed * size) : *items;

	if (!grown)
		return !needed;
	if (needed > *capacity)
		*capacity = needed;
	*items = grown;
	return true;
}

static bool append(const struct feed_cache_header *header, unsigned number, struct prefixes *prefixes)
{
	const struct prefix4 *v4 = (const void *)(header + 1);
	const struct prefix6 *v6 = (const void *)(v4 + header->v4_count);

	if (!reserve((void **)&prefixes->v4, sizeof(*v4), prefixes->v4_count + header->v4_count,
		     &prefixes->v4_capacity) ||
	    !reserve((void **)&prefixes->v6, sizeof(*v6), prefixes->v6_count + header->v6_count,
		     &prefixes->v6_capacity))
		return false;
	for (size_t i = 0; i < header->v4_count; i++) {
		prefixes->v4[prefixes->v4_count] = v4[i];
		prefixes->v4[prefixes->v4_count++].list = (__u8)number;
	}
	for (size_t i = 0; i < header->v6_count; i++) {
		prefixes->v6[prefixes->v6_count] = v6[i];
		prefixes->v6[prefixes->v6_count++].list = (__u8)number;
	}
	return true;
}

/* "STATE/feeds/HASH": one file a feed, so that a feed that changes daily does not fill the disk. */
static bool path_of(const struct list *list, char path[FEED_CACHE_PATH])
{
	int length = snprintf(path, FEED_CACHE_PATH, "%s/feeds/%016llx", state,
			      (unsigned long long)XXH3_64bits(list->feed, strlen(list->feed)));

	return length < FEED_CACHE_PATH - 16; /* room for the name while it is written */
}

bool feed_cache_find(struct feed_cache *cache, const struct list *list, int fd, const struct stat *status,
		     unsigned number, struct prefixes *prefixes, struct feed_facts *facts)
{
	struct feed_cache_header *header = &cache->header;
	struct feed_cache_header *kept;
	size_t length = 0;
	bool found = false;

	memset(cache, 0, sizeof(*cache));
	if (!state || status->st_size < FEED_CACHE_LEAST || !path_of(list, cache->path)) {
		cache->path[0] = '\0';
		return false;
	}
	kept = map_kept(cache->path, &length);
	if (kept)
		header->seed = kept->seed;
	else if (getrandom(&header->seed, sizeof(header->seed), 0) != sizeof(header->seed))
		cache->path[0] = '\0';
	header->magic = MAGIC;
	header->format = (__u64)list->format;
	if (!hash_text(fd, header)) {
		cache->path[0] = '\0';
		lseek(fd, 0, SEEK_SET);
	} else if (kept && kept->text_bytes == header->text_bytes && kept->format == header->format &&
		   !memcmp(kept->text_hash, header->text_hash, sizeof(kept->text_hash)) && items_whole(kept)) {
		found = append(kept, number, prefixes);
		*facts = kept->facts;
	}
	if (kept)
		munmap(kept, length);
	if (found)
		utimensat(AT_FDCWD, cache->path, NULL, 0); /* used today */
	return found;
}

/* ---- keeping ---- */

/* Removes what nobody asked for in a long time, also what a crash left half written. */
static void tidy(const char *path)
{
	char name[FEED_CACHE_PATH + 256];
	size_t stem = (size_t)(strrchr(path, '/') - path);
	time_t now = time(NULL);
	struct dirent *entry;
	struct stat status;
	DIR *directory;

	snprintf(name, sizeof(name), "%.*s", (int)stem, path);
	directory = opendir(name);
	while (directory && (entry = readdir(directory))) {
		snprintf(name, sizeof(name), "%.*s/%s", (int)stem, path, entry->d_name);
		if (!lstat(name, &status) && S_ISREG(status.st_mode) && status.st_mtime < now - FEED_CACHE_KEPT_S)
			unlink(name);
	}
	if (directory)
		closedir(directory);
}

static bool write_all(int fd, const void *data, size_t length)
{
	while (length) {
		ssize_t written = write(fd, data, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		data = (const char *)data + written;
		length -= (size_t)written;
	}
	return true;
}

/* Not synced: what a crash leaves of it is found out by its hash. */
static bool write_kept(const char *path, const struct pending *kept)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool written;

	if (fd < 0)
		return false;
	written = write_all(fd, &kept->cache.header, sizeof(kept->cache.header)) &&
		  write_all(fd, kept->items, items_bytes(&kept->cache.header));
	return !close(fd) && written;
}

static void settle(const struct pending *kept)
{
	const char *path = kept->cache.path;
	char partial[FEED_CACHE_PATH];

	snprintf(partial, sizeof(partial), "%.*s", (int)(strrchr(path, '/') - path), path);
	if (mkdir(partial, 0700) && errno != EEXIST)
		return;
	snprintf(partial, sizeof(partial), "%.*s.partial", FEED_CACHE_PATH - 16, path);
	if (!write_kept(partial, kept) || rename(partial, path))
		unlink(partial);
	tidy(path);
}

void feed_cache_settle(bool write)
{
	while (pending) {
		struct pending *kept = pending;

		pending = kept->next;
		if (write)
			settle(kept);
		free(kept);
	}
}

void feed_cache_keep(const struct feed_cache *cache, const struct prefixes *prefixes, size_t v4_first, size_t v6_first,
		     const struct feed_facts *facts)
{
	size_t v4 = prefixes->v4_count - v4_first, v6 = prefixes->v6_count - v6_first;
	size_t v4_bytes = v4 * sizeof(*prefixes->v4), v6_bytes = v6 * sizeof(*prefixes->v6);
	struct pending *kept = cache->path[0] ? malloc(sizeof(*kept) + v4_bytes + v6_bytes) : NULL;
	struct feed_cache_header *header;

	if (!kept)
		return;
	kept->cache = *cache;
	if (v4)
		memcpy(kept->items, prefixes->v4 + v4_first, v4_bytes);
	if (v6)
		memcpy(kept->items + v4_bytes, prefixes->v6 + v6_first, v6_bytes);
	header = &kept->cache.header;
	header->v4_count = v4;
	header->v6_count = v6;
	header->facts = *facts;
	hash_take(header->items_hash, XXH3_128bits_withSeed(kept->items, v4_bytes + v6_bytes, header->seed));
	header->header_hash = header_hash(header);
	kept->next = pending;
	pending = kept;
}
