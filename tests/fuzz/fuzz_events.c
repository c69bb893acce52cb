/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as an event of the ring, and what follows them as the saved description of its generation or as a line of
 * the histories: always one line of JSON that holds what every document has.
 */
#include <stdlib.h>
#include <string.h>

#include "../../userspace/events.h"
#include "fuzz_files.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_document(json_t *document)
{
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_t *again = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *when = json_string_value(json_object_get(again, "@timestamp"));

	if (!again || strchr(text, '\n') || !when || strlen(when) != strlen("2026-01-01T00:00:00.000Z") ||
	    !json_is_string(json_object_get(json_object_get(again, "event"), "action")) ||
	    json_integer_value(json_object_get(json_object_get(again, "bulwark"), "sequence")) != 7) {
		fprintf(stderr, "%s\n", text ? text : "no text");
		abort();
	}
	json_decref(again);
	free(text);
	json_decref(document);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	const struct places *places = fuzz_places();
	struct event event = {0};
	struct names *names;
	json_t *line;

	memcpy(&event, data, size < sizeof(event) ? size : sizeof(event));
	data += size < sizeof(event) ? size : sizeof(event);
	size -= size < sizeof(event) ? size : sizeof(event);
	event.generation = 1;
	fuzz_write("generations/1/description.json", data, size);
	names = names_open(places);
	if (!names)
		abort();
	check_document(event_verdict(names, &event, 7));
	line = json_loadb((const char *)data, size, 0, NULL);
	if (json_is_object(line))
		check_document(event_action(names, line, 7));
	json_decref(line);
	names_free(names);
	return 0;
}
