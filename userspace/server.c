/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <netinet/in.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "endpoint.h"
#include "server.h"

#define CONNECTIONS 64
#define SILENCE_S 5
#define BACKLOG 64
#define CONNECTION_BYTES 8192 /* a request that needs more is refused */
#define FRESH_NS 200000000ULL /* scrapes closer together than this get the same text */
#define TURNS 16	      /* of the server in one turn of the loop */

struct server {
	struct MHD_Daemon *http;
	struct MHD_Response *texts[2]; /* by format; shared by every connection that still reads it */
	__u64 made_ns[2];
	struct MHD_Response *index, *unknown, *refused, *failed;
	server_text *text;
	void *arg;
	char endpoint[64];
	int fd;
};

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

/* ---- answers ---- */

static struct MHD_Response *fixed(const char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);

	if (response)
		MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	return response;
}

static struct MHD_Response *metrics(struct server *server, enum exposition_format format)
{
	struct MHD_Response *fresh;
	size_t length;
	char *text;

	if (server->texts[format] && now_ns() - server->made_ns[format] < FRESH_NS)
		return server->texts[format];
	text = server->text(server->arg, format, &length);
	if (!text)
		return NULL;
	fresh = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	if (!fresh) {
		free(text);
		return NULL;
	}
	MHD_add_response_header(fresh, "Content-Type", exposition_content_type(format));
	MHD_add_response_header(fresh, "Vary", "Accept");
	if (server->texts[format])
		MHD_destroy_response(server->texts[format]); /* ends with its last reader */
	server->texts[format] = fresh;
	server->made_ns[format] = now_ns();
	return fresh;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct server *server = arg;
	struct MHD_Response *response;

	(void)version, (void)upload, (void)upload_size, (void)state;
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, server->refused);
	if (!strcmp(url, "/"))
		return MHD_queue_response(connection, MHD_HTTP_OK, server->index);
	if (strcmp(url, "/metrics"))
		return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, server->unknown);
	response = metrics(server,
			   exposition_negotiate(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept")));
	return response ? MHD_queue_response(connection, MHD_HTTP_OK, response)
			: MHD_queue_response(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, server->failed);
}

/* ---- opening ---- */

static int listen_at(const char *endpoint, int *result)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_parse(endpoint, &address);
	int fd, error = 0, one = 1;

	if (!length)
		return -EINVAL;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, BACKLOG)) {
		error = -errno;
		close(fd);
	}
	*result = fd;
	return error;
}

static int begin(struct server *server, int listener)
{
	const union MHD_DaemonInfo *about;

	server->index = fixed("Bulwark's metrics are at /metrics\n");
	server->unknown = fixed("not here; metrics are at /metrics\n");
	server->refused = fixed("only GET and HEAD\n");
	server->failed = fixed("the counters cannot be read\n");
	if (!server->index || !server->unknown || !server->refused || !server->failed) {
		close(listener);
		return -ENOMEM;
	}
	MHD_add_response_header(server->refused, "Allow", "GET, HEAD");
	server->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, server, MHD_OPTION_LISTEN_SOCKET,
					listener, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
					MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
					(size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!server->http) {
		close(listener);
		return -ENOMEM;
	}
	about = MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_EPOLL_FD);
	server->fd = about ? about->epoll_fd : -1;
	return server->fd < 0 ? -ENOTSUP : 0;
}

int server_open(const char *endpoint, server_text *text, void *arg, struct server **result, char *why, size_t size)
{
	struct server *server = calloc(1, sizeof(*server));
	int listener = -1, error = server ? listen_at(endpoint, &listener) : -ENOMEM;

	if (!error) {
		*server = (struct server){.text = text, .arg = arg};
		snprintf(server->endpoint, sizeof(server->endpoint), "%s", endpoint);
		error = begin(server, listener);
	}
	if (error) {
		snprintf(why, size, "%s", strerror(-error));
		server_close(server);
		return error;
	}
	*result = server;
	return 0;
}

void server_close(struct server *server)
{
	struct MHD_Response *responses[6];

	if (!server)
		return;
	memcpy(responses, server->texts, sizeof(server->texts));
	responses[2] = server->index;
	responses[3] = server->unknown;
	responses[4] = server->refused;
	responses[5] = server->failed;
	if (server->http)
		MHD_stop_daemon(server->http);
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++)
		if (responses[i])
			MHD_destroy_response(responses[i]);
	free(server);
}

const char *server_endpoint(const struct server *server)
{
	return server->endpoint;
}

int server_fd(const struct server *server)
{
	return server->fd;
}

/* A connection that was read and has more to do is only known to the server itself: it says "at once" (0 ms) then. */
void server_run(struct server *server)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	for (int turn = 0; turn < TURNS; turn++) {
		MHD_run(server->http);
		if (MHD_get_timeout(server->http, &wait_ms) != MHD_YES || wait_ms)
			return;
	}
}
