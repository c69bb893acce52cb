/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * include: [common.yaml, ...]: several files read as one policy. The rules, so that nobody has to guess:
 *
 *  - A path is relative to the directory of the file that names it; feeds named in an included file likewise to its
 * own.
 *  - One level: an included file includes nothing. Every file says `version: 1`.
 *  - The including file wins key by key: a top-level key it has hides the whole value of that key in included files
 *    (trusted, block, icmp, tests, ... are not joined).
 *  - But `zones`, `lists` and `services` are joined by name: an entry of the including file hides the whole entry of
 * the same name (said in a note). Its own entries come first, then those of the included files in their order.
 *  - Two included files that set the same key, or define the same name, without the including file deciding: an error.
 *
 * Names are resolved after joining, so a file may use lists that another one defines.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse.h"

#define POLICY_BYTES_MAX (16u << 20)
#define INCLUDES_MAX 32
#define JOINED_MAX 4096 /* entries of one joined map */

static char *read_all(int fd, size_t *length, char *words, size_t size)
{
	size_t capacity = 65536, used = 0;
	char *text = malloc(capacity), *grown;

	while (text) {
		ssize_t got = read(fd, text + used, capacity - used - 1); /* room for a NUL */

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || used + got > POLICY_BYTES_MAX) {
			snprintf(words, size, "%s",
				 got < 0 ? strerror(errno)
					 : "a policy is at most 16 MiB: keep long lists in feed files");
			free(text);
			return NULL;
		}
		used += got;
		if (!got)
			break;
		if (used < capacity - 1)
			continue;
		capacity *= 2;
		grown = realloc(text, capacity);
		if (!grown)
			free(text);
		text = grown;
	}
	if (!text)
		snprintf(words, size, "out of memory");
	else
		text[used] = '\0';
	*length = used;
	return text;
}

char *read_policy_text(const char *path, size_t *length, char *words, size_t size)
{
	struct stat status;
	char *text;
	int fd;

	if (!strcmp(path, "-"))
		return read_all(STDIN_FILENO, length, words, size);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status)) {
		snprintf(words, size, "cannot be read: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(status.st_mode)) {
		snprintf(words, size, "cannot be read: not a regular file");
		close(fd);
		return NULL;
	}
	text = read_all(fd, length, words, size);
	close(fd);
	return text;
}

static struct node *find(const struct node *map, const char *name)
{
	for (struct node *value = map->first; value; value = value->next)
		if (!strcmp(value->key->text, name))
			return value;
	return NULL;
}

static void add(struct node *map, struct node *value)
{
	value->next = NULL;
	if (map->last)
		map->last->next = value;
	else
		map->first = value;
	map->last = value;
	map->count++;
}

static bool is_joined(const char *name)
{
	return !strcmp(name, "zones") || !strcmp(name, "lists") || !strcmp(name, "services");
}

static void refuse_both(struct parser *parser, const struct node *value, const struct node *other)
{
	wrong(parser, value->key, "'%.80s' is set here and in %s:%u: set it in one of them, or in %s", value->key->text,
	      other->key->at.file, other->key->at.line, parser->policy->files[0]);
}

/* Joins the entries of a list or service map into the one that is there. */
static void join_entries(struct parser *parser, struct node *into, struct node *from)
{
	struct node *next;

	if (into->count + from->count > JOINED_MAX) {
		wrong(parser, from->key, "'%s' has more than %d entries", from->key->text, JOINED_MAX);
		return;
	}
	for (struct node *value = from->first; value; value = next) {
		const struct node *other = find(into, value->key->text);

		next = value->next;
		if (!other)
			add(into, value);
		else if (other->key->at.file != parser->policy->files[0])
			refuse_both(parser, value, other);
		else
			policy_say(parser->policy, parser->report, SEVERITY_NOTE, &other->key->at,
				   "'%.80s' replaces the one of %s:%u", other->key->text, value->key->at.file,
				   value->key->at.line);
	}
}

static void join(struct parser *parser, struct node *into, struct node *from)
{
	struct node *next;

	for (struct node *value = from->first; value; value = next) {
		struct node *other = find(into, value->key->text);

		next = value->next;
		if (!strcmp(value->key->text, "version"))
			continue;
		if (!strcmp(value->key->text, "include"))
			wrong(parser, value->key, "an included file includes nothing more: name that file in %s too",
			      parser->policy->files[0]);
		else if (!other)
			add(into, value);
		else if (is_joined(value->key->text) && value->kind == NODE_MAP && other->kind == NODE_MAP)
			join_entries(parser, other, value);
		else if (other->key->at.file != parser->policy->files[0])
			refuse_both(parser, value, other);
	}
}

static char *joined_path(const char *directory, const char *path)
{
	char *joined;

	if (*path == '/')
		return strdup(path);
	return asprintf(&joined, "%s/%s", directory, path) < 0 ? NULL : joined;
}

/* What messages call an included file: as it would be named from where the policy was named. */
static char *shown_name(const char *policy_name, const char *path)
{
	const char *slash = strrchr(policy_name, '/');
	char *shown;

	if (*path == '/' || !slash)
		return strdup(path);
	return asprintf(&shown, "%.*s/%s", (int)(slash - policy_name), policy_name, path) < 0 ? NULL : shown;
}

static bool is_read_already(const struct parser *parser, const char *name)
{
	for (size_t i = 0; i < parser->policy->file_count; i++)
		if (!strcmp(parser->policy->files[i], name))
			return true;
	return false;
}

static char *directory_part(const char *path)
{
	char buffer[PATH_MAX], *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;

	if (!slash)
		return copy;
	slash[slash == copy] = '\0';
	if (!realpath(copy, buffer))
		return copy;
	free(copy);
	return strdup(buffer);
}

/* Takes path, name and text. */
static int add_file(struct parser *parser, char *path, char *name, char *text, size_t length)
{
	size_t count = parser->policy->file_count;
	char **directories = realloc(parser->directories, (count + 1) * sizeof(*directories));
	char *directory = path ? directory_part(path) : NULL;
	int number = -ENOMEM;

	if (directories)
		parser->directories = directories;
	if (directories && directory && name)
		number = policy_add_file(parser->policy, name, text, length);
	else
		free(text);
	if (number >= 0) {
		directories[number] = directory;
		directory = NULL;
	} else {
		parser->no_memory = true;
	}
	free(directory);
	free(path);
	free(name);
	return number;
}

static void include_one(struct parser *parser, struct node *root, const struct node *item)
{
	const char *text = take_text(parser, item);
	char words[256], *path, *name, *content;
	struct node *tree;
	size_t length;
	int number;

	if (!text)
		return;
	path = joined_path(parser->directories[0], text);
	name = shown_name(parser->policy->files[0], text);
	if (!path || !name || is_read_already(parser, name)) {
		if (path && name)
			wrong(parser, item, "'%.80s' is read already", text);
		goto out;
	}
	content = read_policy_text(path, &length, words, sizeof(words));
	if (!content) {
		wrong(parser, item, "'%.80s': %s", text, words);
		goto out;
	}
	number = add_file(parser, path, name, content, length);
	tree = number < 0 ? NULL : yaml_read(parser->yaml, parser->policy, number, parser->report);
	if (!tree)
		return;
	check_version(parser, tree);
	join(parser, root, tree);
	return;
out:
	free(path);
	free(name);
}

struct node *read_with_includes(struct parser *parser)
{
	struct node *root = yaml_read(parser->yaml, parser->policy, 0, parser->report), *include;

	if (!root)
		return NULL;
	check_version(parser, root);
	include = find(root, "include");
	if (!include || !is_sequence(parser, include, "'include'"))
		return root;
	if (include->count > INCLUDES_MAX) {
		wrong(parser, include, "'include' names %zu files, at most %d are read", include->count, INCLUDES_MAX);
		return root;
	}
	for (const struct node *item = include->first; item; item = item->next)
		include_one(parser, root, item);
	return root;
}
