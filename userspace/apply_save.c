/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Saving a generation: everything is written and synced under another name, then renamed. saved.h has the layout. */
#include "apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "saved.h"

#define KEPT_GENERATIONS 64
#define MAKING "making"

static const char *const saved_files[] = {"policy.yaml", "source", "description.json", "description.json.new"};

static void generations_path(const struct places *places, char path[SAVED_PATH_MAX])
{
	snprintf(path, SAVED_PATH_MAX, "%s/generations", places->state_dir);
}

static unsigned generation_number(const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	return *end || *name < '1' || *name > '9' || number > 0x7fffffff ? 0 : number;
}

unsigned saved_newest(const struct places *places)
{
	char path[SAVED_PATH_MAX];
	struct dirent *entry;
	unsigned newest = 0;
	DIR *directory;

	generations_path(places, path);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		unsigned number = generation_number(entry->d_name);

		newest = number > newest ? number : newest;
	}
	if (directory)
		closedir(directory);
	return newest;
}

static void remove_saved(const char *directory)
{
	char path[SAVED_PATH_MAX + 64];

	for (size_t i = 0; i < sizeof(saved_files) / sizeof(*saved_files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, saved_files[i]);
		unlink(path);
	}
	rmdir(directory);
}

static int write_file(const char *directory, const char *name, const char *text)
{
	char path[SAVED_PATH_MAX + 64];
	size_t length = strlen(text), done = 0;
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	while (!error && done < length) {
		ssize_t written = write(fd, text + done, length - done);

		if (written < 0 && errno != EINTR)
			error = -errno;
		done += written > 0 ? written : 0;
	}
	if (!error && fsync(fd))
		error = -errno;
	if (close(fd) && !error)
		error = -errno;
	return error;
}

static int sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		error = -errno;
	close(fd);
	return error;
}

/* ---- the description ---- */

static json_t *describe_rules(const struct image *image)
{
	static const char *const kinds[] = {
		[RULE_KIND_NONE] = "none",   [RULE_KIND_DEFAULT] = "default", [RULE_KIND_SERVICE] = "service",
		[RULE_KIND_BLOCK] = "block", [RULE_KIND_TRUSTED] = "trusted", [RULE_KIND_WORD] = "word",
		[RULE_KIND_LIMIT] = "limit", [RULE_KIND_TLS] = "tls",	      [RULE_KIND_HTTP] = "http",
		[RULE_KIND_QUIC] = "quic",
	};
	json_t *rules = json_array();

	for (size_t i = 1; i < image->rule_count; i++) {
		const struct rule *rule = &image->rules[i];

		if (rule->kind != RULE_KIND_NONE)
			json_array_append_new(rules,
					      json_pack("{s:i, s:s, s:s?, s:s?}", "number", (int)i, "kind",
							kinds[rule->kind], "name", rule->name, "place", rule->place));
	}
	return rules;
}

static json_t *describe_services(const struct image *image)
{
	json_t *services = json_array();

	for (size_t i = 1; i < image->service_count; i++)
		json_array_append_new(services, json_pack("{s:i, s:s}", "row", (int)image->services[i].row, "name",
							  image->service_names[i]));
	return services;
}

/* Lists with what bulwarkd wants to know of them. */
static json_t *describe_lists(const struct apply *apply)
{
	json_t *lists = apply_lists(&apply->image), *list;
	const struct policy *policy = apply->request->policy;
	size_t i;

	json_array_foreach(lists, i, list)
	{
		const char *name = json_string_value(json_object_get(list, "name"));

		for (size_t j = 0; name && j < policy->list_count; j++)
			if (policy->lists[j].refresh_s && !strcmp(policy->lists[j].name, name))
				json_object_set_new(list, "refresh_s",
						    json_integer((json_int_t)policy->lists[j].refresh_s));
	}
	return lists;
}

/* For bulwarkd, which switches it. */
static json_t *describe_profile(const struct policy *policy)
{
	json_t *services = json_array();

	for (size_t i = 0; i < policy->service_count; i++) {
		const struct service *service = &policy->services[i];

		if (service_differs(policy, service))
			json_array_append_new(services, json_string(service->name));
	}
	return json_pack("{s:I, s:b, s:o}", "hold_s", (json_int_t)(policy->under_attack.hold_s ?: PROFILE_HOLD_S),
			 "by_hand", policy->under_attack.by_hand, "services", services);
}

static json_t *describe(const struct apply *apply)
{
	const struct apply_request *request = apply->request;
	json_t *interfaces = json_array(), *description;
	char hash[65], user[64];

	hash_text(apply->image.policy_hash, hash);
	for (size_t i = 0; i < apply->link_count; i++)
		json_array_append_new(interfaces, json_string(apply->links[i]->name));
	description = json_pack("{s:i, s:I, s:i, s:I, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "generation",
				(int)apply->number, "created", (json_int_t)time(NULL), "uid", (int)getuid(),
				"login_uid", (json_int_t)login_uid(), "user", login_name(user, sizeof(user)),
				"policy_path", request->source, "hash", hash, "monitor", request->policy->monitor,
				"rules", describe_rules(&apply->image), "lists", describe_lists(apply), "services",
				describe_services(&apply->image), "interfaces", interfaces);
	if (description) { /* so that bulwarkd and status know when it must be applied anew, and what holds without it
			    */
		if (apply->image.ends)
			json_object_set_new(description, "ends", json_integer(apply->image.ends));
		json_object_set_new(description, "around", json_integer(host_around(&apply->host)));
		json_object_set_new(description, "balances", json_boolean(apply->host.balances));
		json_object_set_new(description, "vrf", json_boolean(apply->host.has_vrf));
		json_object_set_new(description, "on_failure",
				    json_string(request->policy->on_failure == ON_FAILURE_CLOSED ? "closed" : "open"));
	}
	if (description && request->policy->anonymize_v4)
		json_object_set_new(description, "anonymize",
				    json_pack("[i, i]", request->policy->anonymize_v4, request->policy->anonymize_v6));
	if (description && apply->image.config.profile_shift)
		json_object_set_new(description, "under_attack", describe_profile(request->policy));
	if (description && request->from_saved)
		json_object_set_new(description, "policy_of", json_integer(request->from_saved));
	return description;
}

/* ---- saving ---- */

static int write_all(const struct apply *apply, const char *directory)
{
	json_t *description = describe(apply);
	char *json = description ? json_dumps(description, JSON_INDENT(1)) : NULL;
	char *policy = policy_print(apply->request->policy);
	int error = json && policy ? 0 : -ENOMEM;

	if (!error)
		error = write_file(directory, "policy.yaml", policy);
	if (!error)
		error = write_file(directory, "source", apply->request->source);
	if (!error)
		error = write_file(directory, "description.json", json);
	if (!error)
		error = sync_directory(directory);
	json_decref(description);
	free(json);
	free(policy);
	return error;
}

int apply_save(struct apply *apply)
{
	char parent[SAVED_PATH_MAX], making[SAVED_PATH_MAX + 16], final[SAVED_PATH_MAX + 16];
	int error = 0;

	generations_path(&apply->context->places, parent);
	snprintf(making, sizeof(making), "%s/" MAKING, parent);
	snprintf(final, sizeof(final), "%s/%u", parent, apply->number);
	remove_saved(making); /* of an apply that was killed */
	if ((mkdir(parent, 0750) && errno != EEXIST) || mkdir(making, 0750))
		error = -errno;
	if (!error)
		error = write_all(apply, making);
	if (!error && rename(making, final))
		error = -errno;
	if (!error)
		error = sync_directory(parent);
	if (error) {
		remove_saved(making);
		kernel_say("cannot save generation %u in %s: %s; the live policy is untouched", apply->number, parent,
			   strerror(-error));
	}
	apply->saved = !error;
	return error;
}

/* What was cut is the same, what it was cut around is not: the description of the live generation says so. */
void apply_resave(struct apply *apply)
{
	const char *const fields[] = {"around", "ends"};
	char directory[SAVED_PATH_MAX], making[SAVED_PATH_MAX], final[SAVED_PATH_MAX];
	json_t *now = describe(apply), *saved = json_copy(apply->live_description);
	char *text;

	for (size_t i = 0; now && saved && i < sizeof(fields) / sizeof(*fields); i++) {
		json_t *value = json_object_get(now, fields[i]);

		if (value)
			json_object_set(saved, fields[i], value);
		else
			json_object_del(saved, fields[i]);
	}
	text = now && saved && !json_equal(saved, apply->live_description) ? json_dumps(saved, JSON_INDENT(1)) : NULL;
	saved_path(&apply->context->places, apply->live, "", directory);
	saved_path(&apply->context->places, apply->live, "description.json.new", making);
	saved_path(&apply->context->places, apply->live, "description.json", final);
	if (text && (write_file(directory, "description.json.new", text) || rename(making, final)))
		unlink(making);
	free(text);
	json_decref(now);
	json_decref(saved);
}

void apply_unsave(struct apply *apply)
{
	char path[SAVED_PATH_MAX];

	remove_saved(saved_path(&apply->context->places, apply->number, "", path));
}

/* ---- keeping the directory small ---- */

static int descending(const void *a, const void *b)
{
	unsigned one = *(const unsigned *)a, two = *(const unsigned *)b;

	return one < two ? 1 : one > two ? -1 : 0;
}

static bool in_a_slot(const struct control_state *state, unsigned number)
{
	for (__u32 slot = 0; slot < GENERATION_SLOTS; slot++)
		if (state->slots[slot].generation == number)
			return true;
	return false;
}

void saved_prune(const struct places *places, const struct control_state *state)
{
	char parent[SAVED_PATH_MAX], path[SAVED_PATH_MAX + 16];
	unsigned numbers[4 * KEPT_GENERATIONS];
	struct dirent *entry;
	size_t count = 0;
	DIR *directory;

	generations_path(places, parent);
	directory = opendir(parent);
	while (directory && count < sizeof(numbers) / sizeof(*numbers) && (entry = readdir(directory))) {
		unsigned number = generation_number(entry->d_name);

		if (number)
			numbers[count++] = number;
	}
	if (directory)
		closedir(directory);
	qsort(numbers, count, sizeof(*numbers), descending);
	for (size_t i = KEPT_GENERATIONS; i < count; i++) {
		if (in_a_slot(state, numbers[i]))
			continue;
		snprintf(path, sizeof(path), "%s/%u", parent, numbers[i]);
		remove_saved(path);
	}
}
