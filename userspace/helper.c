/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The daemon's helpers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"
#include "verbs.h"

#define WORDS_MAX 16

/* ---- in the helper ---- */

/* `bulwark` beside this program. */
static void program_path(char path[PATH_MAX + 16])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[length > 0 ? length : 0] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "bulwark");
}

static void run_verb(const struct places *places, const char *const *verb, const char *operand)
{
	const char *words[WORDS_MAX] = {"bulwark", "--pin-dir", places->pin_dir, "--state-dir", places->state_dir};
	char path[PATH_MAX + 16];
	size_t count = 5;

	while (*verb && count < WORDS_MAX - 2)
		words[count++] = *verb++;
	if (*operand)
		words[count++] = operand;
	program_path(path);
	execv(path, (char *const *)words);
}

static void run_command(const struct places *places, const char *const *verb, const char *operand, int output)
{
	int nothing = open("/dev/null", O_RDWR);

	if (nothing >= 0)
		dup2(nothing, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	if (places)
		run_verb(places, verb, operand);
	else
		execvp(*verb, (char *const *)verb);
	_exit(127);
}

/* All of it is read, so that the verb never waits; the beginning is kept. */
static void read_output(int fd, char text[HELPER_TEXT])
{
	size_t filled = 0;

	for (;;) {
		char some[1024] = "";
		ssize_t bytes = read(fd, some, sizeof(some));
		size_t kept = HELPER_TEXT - 1 - filled;

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			break;
		kept = kept < (size_t)bytes ? kept : (size_t)bytes;
		memcpy(text + filled, some, kept);
		filled += kept;
	}
	text[filled] = 0;
}

static void run_one(const struct places *places, const char *const *verb, const char *operand,
		    struct helper_answer *answer)
{
	int output[2], status = 0;
	pid_t child;

	answer->status = 127;
	if (pipe2(output, O_CLOEXEC))
		return;
	child = fork();
	if (!child)
		run_command(places, verb, operand, output[1]);
	close(output[1]);
	if (child > 0)
		read_output(output[0], answer->text);
	close(output[0]);
	if (child > 0 && waitpid(child, &status, 0) == child)
		answer->status = WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

static void helper_loop(const struct places *places, const char *const *verb, int fd)
{
	char operand[HELPER_OPERAND];
	ssize_t length;

	while ((length = recv(fd, operand, sizeof(operand) - 1, 0)) > 0) {
		struct helper_answer answer = {};

		operand[length] = 0;
		run_one(places, verb, operand, &answer);
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			break;
	}
	_exit(0);
}

/* ---- in the daemon ---- */

int helper_open(struct helper *helper, const struct places *places, const char *const *verb, const char *does)
{
	int ends[2];
	pid_t child;

	*helper = (struct helper){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return fail(EXIT_SYSTEM, "the helper that %s could not be made: %s", does, strerror(errno));
	child = fork();
	if (!child) {
		close(ends[0]);
		helper_loop(places, verb, ends[1]);
	}
	close(ends[1]);
	if (child < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK)) {
		close(ends[0]);
		return fail(EXIT_SYSTEM, "the helper that %s could not be started: %s", does, strerror(errno));
	}
	helper->fd = ends[0];
	return EXIT_DONE;
}

void helper_close(struct helper *helper)
{
	if (helper->fd >= 0)
		close(helper->fd);
	helper->fd = -1;
}

/* An operand is never empty on the wire: an empty record would look like the end. */
void helper_ask(struct helper *helper, const char *operand)
{
	size_t length = strlen(operand) + 1;

	helper->running = send(helper->fd, operand, length, MSG_NOSIGNAL) == (ssize_t)length;
}

bool helper_answered(struct helper *helper, struct helper_answer *answer)
{
	ssize_t length = recv(helper->fd, answer, sizeof(*answer), 0);

	if (length < 0 && errno == EAGAIN)
		return false;
	helper->running = false;
	if (length == sizeof(*answer)) {
		answer->text[HELPER_TEXT - 1] = 0;
		return true;
	}
	*answer = (struct helper_answer){.status = 127};
	helper_close(helper);
	return true;
}
