/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any bytes as what the state directory holds: history, description, saved policy, what the daemon remembers, the log.
 * Readers never crash, and whoever writes on goes on with whole lines.
 */
#include <string.h>

#include "../../userspace/daemon_state.h"
#include "../../userspace/event_log.h"
#include "../../userspace/log_reader.h"
#include "../../userspace/past.h"
#include "../../userspace/saved.h"
#include "fuzz_files.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_history(const struct places *places, const unsigned char *data, size_t size)
{
	char path[SAVED_PATH_MAX];
	size_t lines = 0, before;
	json_t *entries, *last;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	fuzz_write("history.jsonl", data, size);
	saved_path(places, 0, "history.jsonl", path);
	past_before(places, 1);
	past_confirmed(places);
	entries = lines_read(path);
	before = json_array_size(entries);
	if (!entries || before > lines)
		abort();
	json_decref(entries);
	/* what comes next is a whole line, also after a torn one */
	if (history_note(places, "applied", json_pack("{s:i}", "generation", 4242)))
		abort();
	entries = lines_read(path);
	last = json_array_get(entries, json_array_size(entries) - 1);
	if (json_integer_value(json_object_get(last, "generation")) != 4242 || past_confirmed(places) != 4242)
		abort();
	json_decref(entries);
}

static void check_policy(const struct places *places, const unsigned char *data, size_t size)
{
	struct report report = {0};
	struct policy *policy;

	fuzz_write("generations/1/policy.yaml", data, size);
	fuzz_write("generations/1/description.json", data, size);
	policy = saved_policy(places, 1, &report);
	if (!policy && !report.errors)
		abort();
	policy_free(policy);
	report_free(&report);
	json_decref(saved_description(places, 1));
}

static void check_log(const struct places *places, const unsigned char *data, size_t size)
{
	static const char line[] = "{\"bulwark\":{\"sequence\":77}}";
	const struct event_log_limits limits = {.file_bytes = 1 << 20, .keep = 1, .minute_bytes = 1 << 20};
	struct daemon_state state;
	struct log_reader reader;
	char path[SAVED_PATH_MAX];
	struct event_log log;
	const char *text, *last = NULL;

	fuzz_write("bulwarkd.json", data, size);
	daemon_state_read(places, &state);
	fuzz_write("events.jsonl", data, size);
	saved_path(places, 0, "events.jsonl", path);
	event_log_last_sequence(path, 1);
	if (event_log_open(&log, path, &limits) || event_log_write(&log, line, 1))
		abort();
	event_log_close(&log);
	if (event_log_last_sequence(path, 1) != 77)
		abort();
	log_reader_open(&reader, path);
	log_reader_last(&reader, 3);
	while ((text = log_reader_next(&reader)))
		last = text;
	if (!last || strcmp(reader.line, line))
		abort();
	log_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	const struct places *places = fuzz_places();

	if (!size)
		return 0;
	switch (*data % 3) {
	case 0:
		check_history(places, data + 1, size - 1);
		break;
	case 1:
		check_policy(places, data + 1, size - 1);
		break;
	default:
		check_log(places, data + 1, size - 1);
	}
	return 0;
}
