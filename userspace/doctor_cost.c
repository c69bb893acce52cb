/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet costs on this host: the real program with a small policy, run by the kernel a great many times. */
#include <string.h>

#include "doctor.h"
#include "judge.h"

#define RUNS 1000000

static const char policy_text[] = "version: 1\n"
				  "lists:\n"
				  "  blocked: { addresses: [198.51.100.0/24, \"2001:db8:bad::/48\"] }\n"
				  "  partners: { addresses: [45.10.20.0/24, \"2a01:77::/48\"] }\n"
				  "block: [blocked]\n"
				  "services:\n"
				  "  api: { ports: tcp/443 }\n"
				  "  partner-api: { ports: tcp/8443, allow: [partners] }\n";

static const struct {
	const char *what, *packet;
} packets[] = {
	{"a SYN to a service", "tcp 45.33.1.5:4000 > 192.0.2.10:443 syn"},
	{"a SYN to a port of no service", "tcp 45.33.1.5:4000 > 192.0.2.10:9200 syn"},
	{"a packet of a blocked source", "tcp 198.51.100.9:4000 > 192.0.2.10:443 syn"},
	{"the same over IPv6", "tcp [2001:db8:bad::9]:4000 > [2001:db8::10]:443 syn"},
};

static int measure(struct doctor *doctor, struct generation *generation, __u32 bare)
{
	for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
		char words[128];
		struct frame frame;
		__u32 ns;
		int error;

		if (packet_text(packets[i].packet, &frame, words, sizeof(words)))
			continue;
		error = generation_measure(generation, frame.bytes, frame.length, RUNS, &ns);
		if (error)
			return error;
		json_array_append_new(doctor->costs,
				      json_pack("{s:s, s:I, s:I}", "packet", packets[i].what, "ns", (json_int_t)ns,
						"over_bare_ns", (json_int_t)ns - (json_int_t)bare));
	}
	return 0;
}

static int load_and_measure(struct doctor *doctor, struct image *image)
{
	struct generation *generation = NULL;
	struct frame frame;
	char words[128];
	__u32 bare = 0;
	int error = packet_text(packets[0].packet, &frame, words, sizeof(words));

	if (!error)
		error = generation_measure(NULL, frame.bytes, frame.length, RUNS, &bare);
	if (!error)
		error = generation_load(image, NULL, &generation);
	if (!error)
		error = measure(doctor, generation, bare);
	generation_free(generation);
	return error;
}

void doctor_cost(struct doctor *doctor)
{
	struct report report = {};
	struct image image = {};
	struct policy *policy = policy_parse(policy_text, sizeof(policy_text) - 1, "doctor", "/", &report);
	int error = policy && !report.errors ? image_compile(policy, NULL, &image, &report) : -1;

	if (!error)
		error = load_and_measure(doctor, &image);
	if (error)
		doctor_say(doctor, LEVEL_NOTE, "cost", NULL, "what a packet costs could not be measured: %s",
			   kernel_words());
	image_free(&image);
	policy_free(policy);
	report_free(&report);
}
