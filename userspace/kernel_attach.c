/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Interfaces: the root programs are put on them once, by links that are pinned (below 6.6 egress is a clsact filter
 * with a handle of our own). Nobody else's program, filter or qdisc is ever displaced or removed.
 */
#include "kernel_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernel_clsact.h"
#include "saved.h"

#define PIN_NAME 64
static const char *const hook_words[HOOK_COUNT] = {"xdp", "egress", "ingress", "sockops"};

/* ---- pins ---- */

/* The bpffs takes no dots in names, and interfaces may have them. */
static void pin_path(const struct instance *instance, enum hook hook, const char *interface, char *path, size_t size)
{
	size_t used = snprintf(path, size, "%s/%s-", instance->links, hook_words[hook]);

	for (; *interface && used + 4 < size; interface++) {
		if (*interface == '.' || *interface == '%')
			used += snprintf(path + used, size - used, "%%%02x", (unsigned char)*interface);
		else
			path[used++] = *interface;
	}
	path[used] = 0;
}

/* The interface a pin is named after; false for a name that is not ours. */
static bool pin_interface(const char *pin, enum hook *hook, char name[IFNAMSIZ])
{
	size_t used = 0;

	for (*hook = 0; *hook < HOOK_COUNT; ++*hook) {
		size_t length = strlen(hook_words[*hook]);

		if (strncmp(pin, hook_words[*hook], length) || pin[length] != '-')
			continue;
		for (pin += length + 1; *pin && used < IFNAMSIZ - 1; pin++) {
			unsigned value = (unsigned char)*pin;

			if (*pin == '%' && sscanf(pin + 1, "%2x", &value) == 1)
				pin += 2;
			name[used++] = value;
		}
		name[used] = 0;
		return true;
	}
	return false;
}

struct link_about {
	__u32 ifindex; /* 0: the interface is gone, the link is defunct */
	__u32 program;
	__u32 type;
};

static int link_about(int fd, struct link_about *about)
{
	struct bpf_link_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	/* xdp and tcx links both begin with the interface's index */
	*about = (struct link_about){.ifindex = info.xdp.ifindex, .program = info.prog_id, .type = info.type};
	return 0;
}

static int pinned_link(const struct instance *instance, enum hook hook, const char *name, struct link_about *about)
{
	char path[PATH_MAX];
	cleanup_fd int fd = -1;

	pin_path(instance, hook, name, path, sizeof(path));
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : link_about(fd, about);
}

/* A live link of ours whose pin is lost (somebody removed it): -ENOENT when there is none. */
static int lost_link(const struct instance *instance, enum hook hook, unsigned ifindex)
{
	struct link_about about;
	__u32 id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		int fd = bpf_link_get_fd_by_id(id);

		if (fd >= 0 && !link_about(fd, &about) && about.ifindex == ifindex &&
		    about.program == instance->root_ids[hook])
			return fd;
		close_fd(&fd);
	}
	return -ENOENT;
}

/* The kernel lets go of a link that only loses its pin some time later; one that is detached is off when this returns.
 */
int link_remove(const char *path)
{
	cleanup_fd int fd = bpf_obj_get(path);

	if (fd >= 0)
		bpf_link_detach(fd); /* of a device that has gone: nothing to detach */
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int pin_link(const struct instance *instance, enum hook hook, const char *name, int fd)
{
	char path[PATH_MAX];
	int error = 0;

	pin_path(instance, hook, name, path, sizeof(path));
	if (unlink(path) && errno != ENOENT) /* a defunct one */
		error = -errno;
	if (!error && pin_object(fd, path))
		error = -errno;
	if (error)
		kernel_say("%s: cannot pin the link as %s: %s", name, path, strerror(-error));
	return error;
}

/* ---- why an interface is generic: the driver's answer, kept for status ---- */

static void reason_path(const struct instance *instance, const char *name, char path[SAVED_PATH_MAX])
{
	snprintf(path, SAVED_PATH_MAX, "%s/generic-%s", instance->places.state_dir, name);
}

static void reason_save(const struct instance *instance, const char *name, const char *why)
{
	char path[SAVED_PATH_MAX];
	cleanup_fd int fd = -1;

	reason_path(instance, name, path);
	fd = *why ? saved_open(path, O_WRONLY | O_TRUNC) : -1;
	if (fd >= 0)
		dprintf(fd, "%s", why);
	else
		unlink(path);
}

static void reason_load(const struct instance *instance, struct attachment *attachment)
{
	char path[SAVED_PATH_MAX];
	FILE *file;

	reason_path(instance, attachment->name, path);
	file = fopen(path, "re");
	if (!file || !fgets(attachment->why_generic, sizeof(attachment->why_generic), file))
		snprintf(attachment->why_generic, sizeof(attachment->why_generic), "asked for");
	if (file)
		fclose(file);
}

/* ---- looking ---- */

static void program_name(__u32 id, char *name, size_t size)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);
	cleanup_fd int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) || !info.name[0])
		snprintf(name, size, "unnamed");
	else
		snprintf(name, size, "%s", info.name);
}

/* Who sits on the interface's XDP hook. */
static void look_xdp(const struct instance *instance, struct attachment *attachment)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	__u32 ids[3], ours = instance->root_ids[HOOK_XDP];

	if (bpf_xdp_query(attachment->ifindex, 0, &query))
		return;
	ids[0] = query.drv_prog_id;
	ids[1] = query.skb_prog_id;
	ids[2] = query.hw_prog_id;
	for (int i = 0; i < 3; i++) {
		if (ids[i] && ids[i] == ours) {
			attachment->xdp = true;
			attachment->native = i == 0;
		} else if (ids[i]) {
			attachment->other_xdp_id = ids[i];
			program_name(ids[i], attachment->other_xdp_name, sizeof(attachment->other_xdp_name));
		}
	}
	if (attachment->xdp && !attachment->native)
		reason_load(instance, attachment);
}

static bool look_tc(const struct instance *instance, enum hook hook, const struct attachment *attachment)
{
	struct link_about about;

	if (!kernel_has_tcx())
		return clsact_filter_there(attachment->ifindex, hook, instance->root_ids[hook]);
	return !pinned_link(instance, hook, attachment->name, &about) && about.ifindex == attachment->ifindex &&
	       about.program == instance->root_ids[hook];
}

static void trouble(struct attachment *attachment, const char *words)
{
	if (!attachment->trouble[0])
		snprintf(attachment->trouble, sizeof(attachment->trouble), "%s", words);
}

/* What an interface has of ours, and what is wrong with it. name: as pinned. */
static void look(const struct instance *instance, const char *name, struct attachment *attachment)
{
	struct link_about about = {};
	int pinned = pinned_link(instance, HOOK_XDP, name, &about);
	bool renamed;

	*attachment = (struct attachment){
		.ifindex = if_nametoindex(name),
		.needs_ingress = instance_hooks(instance) & 1u << HOOK_INGRESS,
	};
	snprintf(attachment->name, sizeof(attachment->name), "%s", name);
	if (instance->foreign) {
		attachment->ifindex = about.ifindex;
		attachment->xdp = !pinned && about.ifindex;
		trouble(attachment, "in another network namespace: ask there");
		return;
	}
	renamed = !attachment->ifindex && !pinned && about.ifindex;
	if (renamed)
		attachment->ifindex = about.ifindex;
	if (attachment->ifindex) {
		look_xdp(instance, attachment);
		attachment->egress_is_tcx = kernel_has_tcx();
		attachment->egress = look_tc(instance, HOOK_EGRESS, attachment);
		attachment->ingress = look_tc(instance, HOOK_INGRESS, attachment);
	}
	if (renamed)
		trouble(attachment, "the interface has another name now");
	else if (!attachment->ifindex)
		trouble(attachment, "the interface is gone");
	else if (attachment->other_xdp_id && !attachment->xdp)
		trouble(attachment, "another XDP program sits there");
	else if (!pinned && !about.ifindex)
		trouble(attachment, "the interface went and returned: it has no protection until it is attached again");
	else if (!pinned && about.program != instance->root_ids[HOOK_XDP])
		trouble(attachment, "another program was put into our link");
	else if (attachment->xdp && pinned)
		trouble(attachment, "the pin of its link is missing");
	else if (!attachment->xdp)
		trouble(attachment, "the XDP program is not attached");
	else if (!attachment->egress)
		trouble(attachment, "the egress program is not attached");
	else if (attachment->needs_ingress && !attachment->ingress)
		trouble(attachment, "the ingress program is not attached");
}

/* ---- attaching ---- */

static int refuse_other(const struct attachment *attachment)
{
	kernel_say("%s already has an XDP program, id %u, '%s': Bulwark never displaces another program; take it off "
		   "with the tool that put it there (or `ip link set dev %s xdp off`), then apply again",
		   attachment->name, attachment->other_xdp_id, attachment->other_xdp_name, attachment->name);
	return -EBUSY;
}

static int xdp_link(const struct instance *instance, const struct host_link *link, __u32 flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = bpf_link_create(instance->programs[PROGRAM_ROOT_XDP], link->ifindex, BPF_XDP, &options);

	return fd < 0 ? -errno : fd;
}

static void explain_generic(const struct host_link *link, int error, char *why, size_t size)
{
	const char *driver = link->driver[0] ? link->driver : link->kind[0] ? link->kind : "of unknown name";

	if (error == -EOPNOTSUPP)
		snprintf(why, size, "the driver (%s) has no native XDP", driver);
	else
		snprintf(why, size, "the driver (%s) refused native XDP: %s; MTU %u", driver, strerror(-error),
			 link->mtu);
}

static bool worth_generic(int error)
{
	return error != -EBUSY && error != -EEXIST && error != -ENODEV && error != -EPERM && error != -ENOMEM;
}

/* Native first; where the driver cannot, generic, and why. A descriptor of the link or -errno with words. */
static int xdp_link_by_mode(const struct instance *instance, const struct host_link *link, int mode,
			    struct attachment *attachment)
{
	int fd = -EOPNOTSUPP;

	attachment->why_generic[0] = 0;
	if (mode != MODE_GENERIC)
		fd = xdp_link(instance, link, XDP_FLAGS_DRV_MODE);
	if (fd >= 0)
		return fd;
	if (mode == MODE_NATIVE || (mode == MODE_AUTO && !worth_generic(fd))) {
		kernel_say("%s: cannot attach in native mode: %s%s", link->name, strerror(-fd),
			   mode == MODE_NATIVE ? "; `mode: auto` would fall back to generic" : "");
		return fd;
	}
	if (mode == MODE_AUTO)
		explain_generic(link, fd, attachment->why_generic, sizeof(attachment->why_generic));
	fd = xdp_link(instance, link, XDP_FLAGS_SKB_MODE);
	if (fd < 0)
		kernel_say("%s: cannot attach, neither in native nor in generic mode: %s", link->name, strerror(-fd));
	return fd;
}

static int attach_xdp(const struct instance *instance, const struct host_link *link, int mode,
		      struct attachment *attachment)
{
	struct link_about about;
	cleanup_fd int fd = -1;

	if (attachment->xdp && !pinned_link(instance, HOOK_XDP, link->name, &about) && about.ifindex == link->ifindex) {
		if (mode == MODE_NATIVE && !attachment->native) {
			kernel_say(
				"%s is attached in generic mode, and changing that would leave it bare for a moment: "
				"`bulwark down`, then apply, if that is meant",
				link->name);
			return -EEXIST;
		}
		return 0;
	}
	fd = lost_link(instance, HOOK_XDP, link->ifindex);
	if (fd < 0) {
		fd = xdp_link_by_mode(instance, link, mode, attachment);
		if (fd >= 0)
			reason_save(instance, link->name, attachment->why_generic);
	}
	return fd < 0 ? fd : pin_link(instance, HOOK_XDP, link->name, fd);
}

static int attach_tcx(const struct instance *instance, enum hook hook, const struct host_link *link)
{
	enum bpf_attach_type side = hook == HOOK_INGRESS ? ATTACH_TCX_INGRESS : ATTACH_TCX_EGRESS;
	cleanup_fd int fd = lost_link(instance, hook, link->ifindex);

	if (fd < 0) {
		fd = bpf_link_create(instance->programs[hook], link->ifindex, side, NULL);
		if (fd < 0) {
			kernel_say("%s: cannot attach the %s program: %s", link->name, hook_words[hook],
				   strerror(errno));
			return -errno;
		}
	}
	return pin_link(instance, hook, link->name, fd);
}

static int attach_tc(const struct instance *instance, enum hook hook, const struct host_link *link, __u32 *flags)
{
	bool made_qdisc = false;
	int error;

	if (kernel_has_tcx())
		return attach_tcx(instance, hook, link);
	error = clsact_filter_add(link->ifindex, hook, instance->programs[hook], &made_qdisc);
	if (error)
		kernel_say("%s: cannot attach the %s program to clsact: %s", link->name, hook_words[hook],
			   strerror(-error));
	else
		*flags |= INTERFACE_CLSACT | (made_qdisc ? INTERFACE_QDISC : 0);
	return error;
}

static void detach_xdp(const struct instance *instance, const char *name)
{
	char path[PATH_MAX];

	pin_path(instance, HOOK_XDP, name, path, sizeof(path));
	link_remove(path);
}

int interface_attach(struct instance *instance, const struct host_link *link, int mode, unsigned hooks,
		     struct attachment *attachment)
{
	__u32 flags = 0;
	bool had_xdp;
	int error = refuse_foreign(instance);

	look(instance, link->name, attachment);
	if (error)
		return error;
	if (attachment->other_xdp_id)
		return refuse_other(attachment);
	had_xdp = attachment->xdp;
	error = interface_enter(instance, link, 0); /* its row in the counters, before the first packet */
	if (!error)
		error = attach_xdp(instance, link, mode, attachment);
	if (!error && !attachment->egress)
		error = attach_tc(instance, HOOK_EGRESS, link, &flags);
	if (!error && hooks & 1u << HOOK_INGRESS && !attachment->ingress)
		error = attach_tc(instance, HOOK_INGRESS, link, &flags);
	if (error) {
		if (!had_xdp)
			detach_xdp(instance, link->name);
		return error;
	}
	look(instance, link->name, attachment);
	if (!attachment->native)
		flags |= INTERFACE_GENERIC;
	return interface_enter(instance, link, flags);
}

/* The pin alone holds a tcx link. A qdisc that clsact needs is still the egress filter's. */
void ingress_detach(struct instance *instance, const struct attachment *attachment)
{
	char path[PATH_MAX];

	pin_path(instance, HOOK_INGRESS, attachment->name, path, sizeof(path));
	link_remove(path);
	if (!kernel_has_tcx())
		clsact_filter_remove(attachment->ifindex, HOOK_INGRESS, instance->root_ids[HOOK_INGRESS], false);
}

int interface_detach(struct instance *instance, const char *name)
{
	char path[PATH_MAX];
	int error = 0, removed;

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		pin_path(instance, hook, name, path, sizeof(path));
		removed = link_remove(path);
		if (removed)
			error = removed;
	}
	clsact_filters_forget(instance, if_nametoindex(name));
	reason_save(instance, name, "");
	if (error)
		kernel_say("%s: cannot detach: %s", name, strerror(-error));
	return error;
}

/* ---- all of them ---- */

static bool listed(const struct attachment *attachments, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(attachments[i].name, name))
			return true;
	return false;
}

static int list_pin(struct instance *instance, const char *pin, struct attachment **attachments, size_t *count)
{
	struct attachment *larger;
	char name[IFNAMSIZ];
	enum hook hook;

	if (!pin_interface(pin, &hook, name) || listed(*attachments, *count, name))
		return 0;
	larger = realloc(*attachments, (*count + 1) * sizeof(**attachments));
	if (!larger)
		return -ENOMEM;
	*attachments = larger;
	look(instance, name, &larger[(*count)++]);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct attachment *)a)->name, ((const struct attachment *)b)->name);
}

int interfaces_attached(struct instance *instance, struct attachment **attachments, size_t *count)
{
	DIR *directory = opendir(instance->links);
	struct dirent *entry;
	int error = 0;

	*attachments = NULL;
	*count = 0;
	if (!directory) {
		if (errno == ENOENT)
			return 0;
		kernel_say("cannot list %s: %s", instance->links, strerror(errno));
		return -errno;
	}
	while (!error && (entry = readdir(directory)))
		error = list_pin(instance, entry->d_name, attachments, count);
	closedir(directory);
	if (*count)
		qsort(*attachments, *count, sizeof(**attachments), by_name);
	return error;
}

int interface_look(struct instance *instance, const char *name, struct attachment *attachment)
{
	look(instance, name, attachment);
	return attachment->other_xdp_id ? refuse_other(attachment) : 0;
}
