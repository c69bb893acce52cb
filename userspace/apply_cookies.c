/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYN cookies on this host: whether the kernel and its firewall let them work, and the sysctl they need. */
#include <string.h>

#include "apply.h"
#include "settings_kept.h"

static void disarm(struct image *image, size_t service)
{
	image->services[service].flags &= ~(SERVICE_COOKIES | SERVICE_COOKIES_ALWAYS);
}

static void disarm_all(struct image *image)
{
	for (size_t i = 1; i < image->service_count; i++)
		disarm(image, i);
	image->config.cookies.format = COOKIES_NONE;
}

void apply_cookies(struct apply *apply)
{
	struct kernel_features features;

	if (!apply->image.config.cookies.format)
		return;
	kernel_features(&features);
	if (!features.own_cookies) {
		disarm_all(&apply->image);
		apply_note(apply,
			   "SYN cookies are not armed: this kernel cannot take over connections that they opened "
			   "(bpf_sk_assign_tcp_reqsk comes with Linux 6.8)");
	}
}

int apply_sysctls(struct apply *apply)
{
	int error;

	if (!apply->image.config.cookies.format || apply->host.tcp.syncookies)
		return EXIT_DONE;
	error = sysctl_set(&apply->context->places, "tcp_syncookies", 1);
	if (error)
		return fail(EXIT_SYSTEM,
			    "%s: SYN cookies need sysctl net.ipv4.tcp_syncookies=1, and setting it failed: %s",
			    apply->context->verb, strerror(-error));
	apply_note(apply, "net.ipv4.tcp_syncookies was 0, it is 1 now, for SYN cookies; `bulwark down` puts it back");
	return EXIT_DONE;
}
