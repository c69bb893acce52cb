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

/* ---- the ledger: one table for both ways ---- */

static void read_number(__u64 *value, const char *key, void *object)
{
	*value = number(object, key);
}

static void write_number(__u64 *value, const char *key, void *object)
{
	json_object_set_new(object, key, json_integer((json_int_t)*value));
}

static void ledger_each(struct ledger *ledger, void (*each)(__u64 *value, const char *key, void *arg), void *arg)
{
	const struct {
		const char *key;
		__u64 *value;
	} rows[] = {
		{"own", &ledger->own},
		{"written", &ledger->written},
		{"sampled_out", &ledger->sampled_out},
		{"unwritten", &ledger->unwritten},
		{"crashed", &ledger->crashed},
		{"ring", &ledger->ring},
		{"taken", &ledger->taken},
		{"ring_kernel", &ledger->ring_kernel},
		{"ring_lost", &ledger->ring_lost},
		{"kernel", &ledger->kernel},
		{"lost", &ledger->lost},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		each(rows[i].value, rows[i].key, arg);
}

/* ---- where metrics are served ---- */

static void read_text(const json_t *object, const char *key, char *text, size_t size)
{
	const char *there = json_string_value(json_object_get(object, key));

	snprintf(text, size, "%s", there ?: "");
}

static void read_serving(const json_t *object, struct serving *serving)
{
	read_text(object, "endpoint", serving->endpoint, sizeof(serving->endpoint));
	read_text(object, "cert", serving->cert, sizeof(serving->cert));
	read_text(object, "key", serving->key, sizeof(serving->key));
	read_text(object, "token_file", serving->token_file, sizeof(serving->token_file));
}

static json_t *serving_json(const struct serving *serving)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "endpoint", serving->endpoint, "cert", serving->cert, "key",
			 serving->key, "token_file", serving->token_file);
}

/* ---- all of it ---- */

void daemon_state_read(const struct places *places, struct daemon_state *state)
{
	char path[SAVED_PATH_MAX];
	json_t *object = json_load_file(saved_path(places, 0, "bulwarkd.json", path), 0, NULL);
	const char *log = json_string_value(json_object_get(object, "log"));

	memset(state, 0, sizeof(*state));
	snprintf(state->log, sizeof(state->log), "%s", log ? log : "");
	state->sequence = number(object, "sequence");
	state->history_offset = number(object, "history_offset");
	state->actions_offset = number(object, "actions_offset");
	state->actions_inode = number(object, "actions_inode");
	state->lost = number(object, "lost");
	ledger_each(&state->ledger, read_number, (void *)json_object_get(object, "ledger"));
	read_serving(json_object_get(object, "metrics"), &state->metrics);
	json_decref(object);
}

static json_t *ledger_json(struct ledger ledger)
{
	json_t *object = json_object();

	ledger_each(&ledger, write_number, object);
	return object;
}

int daemon_state_write(const struct places *places, const struct daemon_state *state)
{
	char path[SAVED_PATH_MAX], temporary[SAVED_PATH_MAX];
	json_t *object =
		json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:i, s:o, s:o}", "log", state->log, "sequence",
			  (json_int_t)state->sequence, "history_offset", (json_int_t)state->history_offset,
			  "actions_offset", (json_int_t)state->actions_offset, "actions_inode",
			  (json_int_t)state->actions_inode, "lost", (json_int_t)state->lost, "pid", (int)getpid(),
			  "metrics", serving_json(&state->metrics), "ledger", ledger_json(state->ledger));
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
