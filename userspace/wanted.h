/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Interfaces that the policy in force wants attached: those that apply named in the description, those that `auto`
 * means now, and those that are attached. One that went and returned, came later, or took the default route over is
 * wanted and bare; bulwarkd and `apply --attach` attach it, status tells of it.
 */
#ifndef BULWARK_WANTED_H
#define BULWARK_WANTED_H

#include "kernel.h"

struct wanted {
	char (*names)[16];
	size_t count;
	int mode; /* of the policy */
};

/* generation: the one in force. attachments: what is attached. names are the caller's (free). 0 or -ENOMEM. */
int wanted_interfaces(const struct places *places, unsigned generation, const struct host *host,
		      const struct attachment *attachments, size_t attachment_count, struct wanted *wanted);

/* An interface was bare: attached now (error 0), or not, with kernel_words(). */
typedef void wanted_tell(void *arg, const struct attachment *attachment, int error);
/* Attaches what is wanted, there, and not what it ought to be. Takes the lock only when something is to be done. The
 * instance is only read. 0, or -errno of what could not even be looked at. */
int wanted_attach(struct instance *instance, const struct places *places, const struct host *host, wanted_tell *tell,
		  void *arg);

#endif
