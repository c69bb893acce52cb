/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of `bulwark doctor` share. Each part adds findings; verb_doctor.c prints them. */
#ifndef BULWARK_DOCTOR_H
#define BULWARK_DOCTOR_H

#include <jansson.h>

#include "verbs.h"

enum level { LEVEL_OK, LEVEL_NOTE, LEVEL_WARNING, LEVEL_PROBLEM };

struct doctor {
	const struct context *context;
	struct host host;
	struct instance *instance; /* NULL: nothing is applied here */
	json_t *findings;	   /* [{"level","about","text","remedy"}] */
	json_t *costs;		   /* [{"packet","ns","over_bare_ns"}] */
	size_t problems;
};

/* remedy: what to do, or NULL. */
void doctor_say(struct doctor *doctor, enum level level, const char *about, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

void doctor_host(struct doctor *doctor); /* kernel, mounts, sysctls, NAT, sockops */
void doctor_interface(struct doctor *doctor,
		      const struct host_link *link); /* driver, modes, queues, offloads, programs */
void doctor_cost(struct doctor *doctor);	     /* measured on this host */

/* What a driver can do with XDP, as the kernel tells (6.3 and later). */
struct driver_features {
	bool known;
	bool native, frags; /* frags: frames of several buffers */
};
int driver_features(unsigned ifindex, struct driver_features *features); /* 0 or -errno */

#endif
