/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* STATE/bulwarkd.json: written whole, renamed into place. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon_state.h"

static __u64 number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (__u64)value : 0;
}

void daemon_state_read(const struct places *places, struct daemon_state *state)
{
	char path[SAVED_PATH_MAX];
	json_t *object = json_load_file(saved_path(places, 0, "bulwarkd.json", path), 0, NULL);
	const char *log = json_string_value(json_object_get(object, "log"));
	const char *metrics = json_string_value(json_object_get(object, "metrics"));
	const json_t *ledger = json_object_get(object, "ledger");

	memset(state, 0, sizeof(*state));
	snprintf(state->log, sizeof(state->log), "%s", log ? log : "");
	state->sequence = number(object, "sequence");
	state->history_offset = number(object, "history_offset");
	state->actions_offset = number(object, "actions_offset");
	state->actions_inode = number(object, "actions_inode");
	state->lost = number(object, "lost");
	state->ledger.own = number(ledger, "own");
	state->ledger.written = number(ledger, "written");
	state->ledger.sampled_out = number(ledger, "sampled_out");
	state->ledger.unwritten = number(ledger, "unwritten");
	snprintf(state->metrics, sizeof(state->metrics), "%s", metrics ? metrics : "");
	json_decref(object);
}

static json_t *ledger_json(const struct ledger *ledger)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "own", (json_int_t)ledger->own, "written", (json_int_t)ledger->written,
			 "sampled_out", (json_int_t)ledger->sampled_out, "unwritten", (json_int_t)ledger->unwritten);
}

int daemon_state_write(const struct places *places, const struct daemon_state *state)
{
	char path[SAVED_PATH_MAX], temporary[SAVED_PATH_MAX];
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i, s:s, s:o}", "log", state->log, "sequence",
				   (json_int_t)state->sequence, "history_offset", (json_int_t)state->history_offset,
				   "actions_offset", (json_int_t)state->actions_offset, "actions_inode",
				   (json_int_t)state->actions_inode, "lost", (json_int_t)state->lost, "pid",
				   (int)getpid(), "metrics", state->metrics, "ledger", ledger_json(&state->ledger));
	int error = 0;

	saved_path(places, 0, "bulwarkd.json", path);
	saved_path(places, 0, "bulwarkd.json.new", temporary);
	if (!object)
		return -ENOMEM;
	errno = 0;
	if (json_dump_file(object, temporary, JSON_COMPACT) || rename(temporary, path))
		error = errno ? -errno : -EIO;
	json_decref(object);
	return error;
}

const char *daemon_log_default(const struct places *places, char *path, size_t size)
{
	snprintf(path, size, "%s/events.jsonl", places->state_dir);
	return path;
}

const char *daemon_log_path(const struct places *places, char *path, size_t size)
{
	struct daemon_state state;

	daemon_state_read(places, &state);
	if (!*state.log || !strcmp(state.log, "-"))
		return daemon_log_default(places, path, size);
	snprintf(path, size, "%s", state.log);
	return path;
}
