/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An instance: its lock, its pins, the control word. */
#include "kernel_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

#include "root.skel.h"
#include "saved.h"

#define LOCK_WAIT_S 30
#define LOCK_POLL_MS 50

const char *const pinned_map_names[PINNED_MAP_COUNT] = {
#define MAP(name) #name,
	PINNED_MAPS(MAP)
#undef MAP
};
const char *const pinned_program_names[PINNED_PROGRAM_COUNT] = {"root_xdp", "root_egress", "root_ingress",
								"root_sockops", "steer"};

static __thread char words[1024];

const char *kernel_words(void)
{
	return words;
}

void kernel_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
}

/* ---- the lock ---- */

static int make_directories(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t length = strlen(path);

	if (!length || length >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, length + 1);
	for (char *slash = part + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = 0;
		if (mkdir(part, mode) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, mode) && errno != EEXIST ? -errno : 0;
}

/* The process that holds it, by the kernel's own list; 0 when it does not say. */
static int lock_holder(int fd)
{
	FILE *locks = fopen("/proc/locks", "re");
	unsigned long long inode;
	char kind[16], *line = NULL;
	int holder = 0, pid;
	struct stat about;
	size_t size = 0;

	while (locks && !holder && !fstat(fd, &about) && getline(&line, &size, locks) > 0)
		if (sscanf(line, "%*s %15s %*s %*s %d %*x:%*x:%llu", kind, &pid, &inode) == 3 &&
		    !strcmp(kind, "FLOCK") && inode == about.st_ino)
			holder = pid;
	free(line);
	if (locks)
		fclose(locks);
	return holder;
}

static int lock_wait(const char *path, int fd)
{
	__u64 give_up = boottime_ns() + LOCK_WAIT_S * 1000000000ULL;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			kernel_say("cannot lock %s: %s", path, strerror(errno));
			return -errno;
		}
		if (boottime_ns() >= give_up) {
			kernel_say("process %d has held the lock %s for %d s: wait for it, or end it", lock_holder(fd),
				   path, LOCK_WAIT_S);
			return -EBUSY;
		}
		usleep(LOCK_POLL_MS * 1000);
	}
	return 0;
}

static int lock_take(const char *state_dir)
{
	char path[PATH_MAX];
	int fd, error = make_directories(state_dir, 0700);

	if (error) {
		kernel_say("cannot make the state directory %s: %s", state_dir, strerror(-error));
		return error;
	}
	snprintf(path, sizeof(path), "%s/lock", state_dir);
	umask(027); /* who has the lock writes the state, which the group of the daemon reads */
	fd = saved_open(path, O_RDWR);
	if (fd < 0) {
		error = -errno;
		kernel_say("cannot open the lock %s: %s", path, strerror(-error));
		return error;
	}
	error = lock_wait(path, fd);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

/* ---- the bpffs ---- */

static bool is_bpffs(const char *path)
{
	struct statfs about;

	return !statfs(path, &about) && about.f_type == BPF_FS_MAGIC;
}

/* The nearest directory that is there, path itself included. */
static void nearest_directory(const char *path, char *found, size_t size)
{
	struct stat about;

	snprintf(found, size, "%s", path);
	while (stat(found, &about)) {
		char *slash = strrchr(found, '/');

		if (!slash || slash == found) {
			snprintf(found, size, "/");
			return;
		}
		*slash = 0;
	}
}

/* The mount point of the bpffs that path is in. */
void bpffs_root(const char *path, char *root, size_t size)
{
	char up[PATH_MAX];
	struct stat here, above;

	nearest_directory(path, root, size);
	while (!stat(root, &here)) {
		char *slash = strrchr(root, '/');

		if (!slash || slash == root)
			return;
		snprintf(up, sizeof(up), "%.*s", (int)(slash - root), root);
		if (stat(up, &above) || above.st_dev != here.st_dev)
			return;
		*slash = 0;
	}
}

/* Mounts the system's bpffs where it belongs; a pin directory elsewhere becomes a bpffs of its own. */
static int bpffs_mount(const char *pin_dir, char *mounted, size_t size)
{
	static const char usual[] = "/sys/fs/bpf";
	bool in_usual = !strncmp(pin_dir, usual, sizeof(usual) - 1);
	const char *at = in_usual ? usual : pin_dir;
	int error = in_usual ? 0 : make_directories(at, 0700);

	if (!error && mount("bpf", at, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		error = -errno;
	if (error) {
		kernel_say("no bpffs at %s and mounting one failed: %s; mount it: mount -t bpf bpf %s", at,
			   strerror(-error), at);
		return error;
	}
	snprintf(mounted, size, "%s", at);
	return 0;
}

/* Whether a file system is among the mounts of PID 1; true also when that cannot be told. */
static bool mounted_by_init(dev_t device)
{
	FILE *mounts = fopen("/proc/1/mountinfo", "re");
	unsigned high, low;
	char *line = NULL;
	bool found = !mounts;
	size_t size = 0;

	while (!found && getline(&line, &size, mounts) > 0)
		found = sscanf(line, "%*u %*u %u:%u", &high, &low) == 2 && makedev(high, low) == device;
	free(line);
	if (mounts)
		fclose(mounts);
	return found;
}

/* Whether PID 1 sees the same file system there. A bpffs of a private mount namespace dies with it, and with the
 * bpffs the pins, and with the pins the protection. */
static bool seen_by_init(const char *path)
{
	char other[PATH_MAX + 16];
	struct stat ours, theirs;

	snprintf(other, sizeof(other), "/proc/1/root%s", path);
	if (stat(path, &ours) || access("/proc/1", F_OK)) /* hidepid=: it cannot be told */
		return true;
	if (!stat(other, &theirs))
		return ours.st_dev == theirs.st_dev;
	return errno != ENOENT && mounted_by_init(ours.st_dev); /* PID 1 may be out of reach, its mounts are not */
}

/* Mounts have numbers of their own in every mount namespace: the first one's tells whether two are the same. */
static int first_mount(const char *mountinfo)
{
	FILE *mounts = fopen(mountinfo, "re");
	int number = -1;

	if (mounts && fscanf(mounts, "%d", &number) != 1)
		number = -1;
	if (mounts)
		fclose(mounts);
	return number;
}

enum bpffs bpffs_look(const struct places *places)
{
	char near[PATH_MAX];

	nearest_directory(places->pin_dir, near, sizeof(near));
	if (!is_bpffs(near)) {
		int ours = first_mount("/proc/self/mountinfo"), first = first_mount("/proc/1/mountinfo");

		return first < 0 || ours == first ? BPFFS_NONE : BPFFS_PRIVATE;
	}
	return seen_by_init(near) ? BPFFS_OF_HOST : BPFFS_PRIVATE;
}

static int bpffs_prepare(const struct places *places, unsigned how, __u32 *flags)
{
	char near[PATH_MAX], mounted[PATH_MAX] = "";
	int error;

	nearest_directory(places->pin_dir, near, sizeof(near));
	if (!is_bpffs(near)) {
		error = bpffs_mount(places->pin_dir, mounted, sizeof(mounted));
		if (error)
			return error;
		*flags |= ORIGIN_MOUNTED_BPFFS;
		snprintf(near, sizeof(near), "%s", mounted);
	}
	if (!seen_by_init(near)) {
		*flags |= ORIGIN_EPHEMERAL;
		if (!(how & OPEN_EPHEMERAL)) {
			if (mounted[0])
				umount(mounted);
			kernel_say(
				"the bpffs at %s belongs to a private mount namespace (ip netns exec, a container, a "
				"sandboxed service): protection would end with it; enter the network namespace with "
				"nsenter --net=..., or say --ephemeral if that is meant",
				near);
			return -EPERM;
		}
	}
	error = make_directories(places->pin_dir, 0700);
	if (error)
		kernel_say("cannot make the pin directory %s: %s", places->pin_dir, strerror(-error));
	return error;
}

/* Removes a tree of the bpffs. What is not there is fine; what cannot be removed is the first error. */
int path_remove(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int error = 0;

	if (!directory)
		return errno == ENOENT ? 0 : (errno == ENOTDIR ? (unlink(path) ? -errno : 0) : -errno);
	while ((entry = readdir(directory))) {
		char inner[PATH_MAX];
		int result;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		result = entry->d_type == DT_DIR ? path_remove(inner) : (unlink(inner) ? -errno : 0);
		if (result && !error)
			error = result;
	}
	closedir(directory);
	if (rmdir(path) && errno != ENOENT && !error)
		error = -errno;
	return error;
}

/* ---- making an instance ---- */

static __u64 netns_inode(void)
{
	struct stat about;

	return stat("/proc/self/ns/net", &about) ? 0 : about.st_ino;
}

static int fill_origin(struct root_bpf *root, __u32 flags)
{
	struct origin origin = {.netns = netns_inode(), .flags = flags};
	__u32 zero = 0;

	if (getrandom(origin.state_key, sizeof(origin.state_key), 0) != sizeof(origin.state_key))
		return -EIO;
	return bpf_map_update_elem(bpf_map__fd(root->maps.origin), &zero, &origin, BPF_ANY) ? -errno : 0;
}

static int pin_root(struct root_bpf *root, const char *directory)
{
	struct bpf_program *programs[PINNED_PROGRAM_COUNT] = {
		[PROGRAM_ROOT_XDP] = root->progs.xdp_root,
		[PROGRAM_ROOT_EGRESS] = root->progs.egress_root,
		[PROGRAM_ROOT_INGRESS] = root->progs.ingress_root,
		[PROGRAM_ROOT_SOCKOPS] = root->progs.sockops_root,
		[PROGRAM_STEER] = root->progs.steer,
	};
	struct bpf_map *maps[PINNED_MAP_COUNT] = {
		[MAP_control] = root->maps.data_control,
	};
	char path[PATH_MAX];

	for (int i = 0; i < PINNED_MAP_COUNT; i++) {
		if (!maps[i])
			maps[i] = bpf_object__find_map_by_name(root->obj, pinned_map_names[i]);
		snprintf(path, sizeof(path), "%s/%s", directory, pinned_map_names[i]);
		if (!maps[i] || pin_object(bpf_map__fd(maps[i]), path)) {
			kernel_say("cannot pin %s: %s", path, strerror(errno));
			return -errno;
		}
	}
	for (int i = 0; i < PINNED_PROGRAM_COUNT; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, pinned_program_names[i]);
		if (pin_object(bpf_program__fd(programs[i]), path)) {
			kernel_say("cannot pin %s: %s", path, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

static __u64 tick_ns(void)
{
	struct timespec tick;

	return clock_getres(CLOCK_MONOTONIC_COARSE, &tick) ? 4000000 : tick.tv_nsec;
}

static int load_root(struct root_bpf *root, __u32 flags)
{
	__u32 slot = SLOT_PAUSED;
	int error, paused;

	root->rodata->tick_ns = tick_ns();
	if (kernel_has_tcx()) {
		bpf_program__set_expected_attach_type(root->progs.egress_root, ATTACH_TCX_EGRESS);
		bpf_program__set_expected_attach_type(root->progs.ingress_root, ATTACH_TCX_INGRESS);
	}
	error = root_bpf__load(root);
	if (error) {
		kernel_say("the kernel refused the root programs: %s%s%s", strerror(-error),
			   *libbpf_words() ? ": " : "", libbpf_words());
		return error;
	}
	paused = bpf_program__fd(root->progs.paused);
	error = bpf_map_update_elem(bpf_map__fd(root->maps.xdp_slots), &slot, &paused, BPF_ANY) ? -errno : 0;
	if (!error)
		error = fill_origin(root, flags);
	if (error)
		kernel_say("cannot prepare the root maps: %s", strerror(-error));
	return error;
}

static void making_path(const struct instance *instance, char *path, size_t size)
{
	snprintf(path, size, "%s-making", instance->base);
}

/* Everything is pinned in a directory of another name, which is then renamed: there is a whole instance or none. */
static int instance_make(struct instance *instance, __u32 flags)
{
	char making[sizeof(instance->base) + 8], links[sizeof(instance->base) + 16];
	struct root_bpf *root;
	int error;

	making_path(instance, making, sizeof(making));
	snprintf(links, sizeof(links), "%s/links", making);
	error = mkdir(making, 0700) || mkdir(links, 0700) ? -errno : 0;
	if (error) {
		kernel_say("cannot make %s: %s", making, strerror(-error));
		return error;
	}
	root = root_bpf__open();
	error = root ? load_root(root, flags) : -ENOMEM;
	if (!error)
		error = pin_root(root, making);
	if (!error)
		error = pins_share(&instance->places, making);
	if (!error && rename(making, instance->base)) {
		error = -errno;
		kernel_say("cannot put %s in its place: %s", making, strerror(errno));
	}
	if (error)
		path_remove(making);
	root_bpf__destroy(root);
	return error;
}

/* A layout of another version is never mixed with ours. */
static int other_layout(const struct places *places)
{
	char ours[16];
	struct dirent *entry;
	DIR *directory = opendir(places->pin_dir);
	int error = 0;

	if (!directory)
		return 0;
	snprintf(ours, sizeof(ours), "v%d", LAYOUT_VERSION);
	while (!error && (entry = readdir(directory))) {
		const char *name = entry->d_name;

		if (name[0] != 'v' || !strncmp(name, ours, strlen(ours)) || name[1] < '0' || name[1] > '9')
			continue;
		kernel_say("%s/%s was pinned by another version of Bulwark: run `bulwark down` of that version first",
			   places->pin_dir, name);
		error = -EEXIST;
	}
	closedir(directory);
	return error;
}

/* ---- opening an instance ---- */

static int open_pin(const char *base, const char *name, int *fd)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	*fd = bpf_obj_get(path);
	if (*fd >= 0)
		return 0;
	if (errno == ENOENT)
		kernel_say("the pin %s is missing: run `bulwark down`, then apply again", path);
	else
		kernel_say("cannot open the pin %s: %s", path, strerror(errno));
	return errno == ENOENT ? -EUCLEAN : -errno;
}

/* An older version may have made the instance: what came later is added. */
static int open_map(struct instance *instance, enum pinned_map number)
{
	int error = open_pin(instance->base, pinned_map_names[number], &instance->maps[number]);
	int added = error == -EUCLEAN ? map_add(instance, number) : -1;

	if (added < 0)
		return error;
	instance->maps[number] = added;
	return 0;
}

static int open_pins(struct instance *instance)
{
	__u32 zero = 0;
	int error = 0;

	for (int i = 0; i < PINNED_PROGRAM_COUNT; i++)
		error = open_pin(instance->base, pinned_program_names[i], &instance->programs[i]) ?: error;
	for (int i = 0; i < PINNED_MAP_COUNT; i++)
		error = open_map(instance, i) ?: error;
	if (error) {
		snprintf(instance->broken, sizeof(instance->broken), "%s", words);
		return instance->how & OPEN_BROKEN ? 0 : error;
	}
	error = bpf_map_lookup_elem(instance->maps[MAP_origin], &zero, &instance->origin);
	for (int hook = 0; !error && hook < HOOK_COUNT; hook++)
		error = program_id(instance->programs[hook], &instance->root_ids[hook]);
	if (error) {
		kernel_say("cannot read the pins in %s: %s", instance->base, strerror(errno));
		return -errno;
	}
	instance->foreign = instance->origin.netns != netns_inode();
	return 0;
}

/* What a killed first apply left half made goes with the next command of any kind, unless another one is making it. */
static void clear_leftovers(const struct instance *instance)
{
	char making[sizeof(instance->base) + 8], lock[PATH_MAX];
	struct stat about;
	cleanup_fd int fd = -1;

	making_path(instance, making, sizeof(making));
	if (stat(making, &about))
		return;
	if (instance->lock < 0) {
		snprintf(lock, sizeof(lock), "%s/lock", instance->places.state_dir);
		fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
			return;
	}
	path_remove(making);
	if (!(instance->how & OPEN_CREATE))
		rmdir(instance->places.pin_dir); /* when nothing else is in it */
}

static int open_or_make(struct instance *instance)
{
	const struct places *places = &instance->places;
	__u32 flags = 0;
	struct stat about;
	int error;

	if (instance->how & OPEN_CREATE) {
		error = kernel_supported();
		if (!error)
			error = bpffs_prepare(places, instance->how, &flags);
		if (!error)
			error = other_layout(places);
		if (error)
			return error;
	}
	clear_leftovers(instance);
	if (stat(instance->base, &about)) {
		if (errno != ENOENT && errno != ENOTDIR) {
			kernel_say("cannot look into %s: %s", places->pin_dir, strerror(errno));
			return -errno;
		}
		if (!(instance->how & OPEN_CREATE)) {
			if (instance->how & OPEN_WRITE)
				rmdir(places->pin_dir); /* an apply was killed before it pinned anything */
			kernel_say("no policy is applied here (nothing pinned in %s): bulwark apply FILE",
				   places->pin_dir);
			return -ENOENT;
		}
		error = instance_make(instance, flags);
		if (error)
			return error;
		instance->made = true;
	}
	return open_pins(instance);
}

int instance_open(const struct places *places, unsigned how, struct instance **result)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	int error = 0;

	if (!instance)
		return -ENOMEM;
	libbpf_quiet();
	instance->places = *places;
	instance->how = how;
	instance->lock = -1;
	memset(instance->maps, 0xff, sizeof(instance->maps));
	memset(instance->programs, 0xff, sizeof(instance->programs));
	snprintf(instance->base, sizeof(instance->base), "%s/v%d", places->pin_dir, LAYOUT_VERSION);
	snprintf(instance->links, sizeof(instance->links), "%s/links", instance->base);
	error = capabilities_needed(how);
	if (!error && how & OPEN_WRITE) {
		instance->lock = lock_take(places->state_dir);
		error = instance->lock < 0 ? instance->lock : 0;
	}
	if (!error)
		error = open_or_make(instance);
	if (error) {
		instance_close(instance);
		return error;
	}
	*result = instance;
	return 0;
}

void instance_close(struct instance *instance)
{
	if (!instance)
		return;
	hold_table_close(instance);
	for (int i = 0; i < PINNED_MAP_COUNT; i++)
		close_fd(&instance->maps[i]);
	for (int i = 0; i < PINNED_PROGRAM_COUNT; i++)
		close_fd(&instance->programs[i]);
	close_fd(&instance->lock);
	free(instance);
}

const char *instance_broken(const struct instance *instance)
{
	return instance->broken;
}

bool instance_ephemeral(const struct instance *instance)
{
	return instance->origin.flags & ORIGIN_EPHEMERAL;
}

bool instance_made(const struct instance *instance)
{
	return instance->made;
}

/* Also for what a broken instance left: it works on the directory, not on the open pins. */
int instance_down(struct instance *instance)
{
	char root[PATH_MAX], making[sizeof(instance->base) + 8];
	int error;

	bpffs_root(instance->base, root, sizeof(root));
	making_path(instance, making, sizeof(making));
	clsact_filters_forget_all(instance);
	error = path_remove(instance->links);
	if (!error)
		error = path_remove(instance->base);
	if (!error)
		error = path_remove(making);
	if (error) {
		kernel_say("cannot remove %s: %s", instance->base, strerror(-error));
		return error;
	}
	rmdir(instance->places.pin_dir);
	bpffs_unshare(root);
	if (instance->origin.flags & ORIGIN_MOUNTED_BPFFS && is_bpffs(root) && !umount(root) &&
	    !strcmp(root, instance->places.pin_dir))
		rmdir(root);
	return 0;
}
