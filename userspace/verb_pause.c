/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bulwark pause: every hook passes and counts for a time; the kernel re-arms itself at the end. */
#include "verb_common.h"

int verb_pause(struct context *context, int argc, char **argv)
{
	__u64 for_ns = 0;
	const char *value;
	char text[64];
	struct instance *instance;
	int status = EXIT_DONE, code, error;

	while (!status && (code = next_option(context, argc, argv, &value)) != OPTIONS_END)
		status = code == 'f' ? read_duration(context, "--for", value, &for_ns) : EXIT_USAGE;
	if (!status)
		status = no_operands(context, argc, argv);
	if (!status && !for_ns)
		status = fail_usage(context, "--for is missing: a pause has an end");
	if (!status)
		status = open_instance(context, OPEN_WRITE, &instance);
	if (status)
		return status;
	error = control_pause(instance, (for_ns + 999999) / 1000000);
	instance_close(instance);
	if (error)
		return fail_kernel(error, context->verb);
	history_note(&context->places, "paused", json_pack("{s:f}", "for_s", for_ns / 1e9));
	if (context->json)
		return print_json(json_pack("{s:s, s:f}", "result", "paused", "for_s", for_ns / 1e9));
	printf("paused: everything passes and is counted; the kernel re-arms in %s, or `bulwark resume`\n",
	       duration_text(for_ns, text, sizeof(text)));
	return EXIT_DONE;
}
