/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <netinet/in.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "secret.h"
#include "server.h"

#define CONNECTIONS 64
#define SILENCE_S 5
#define BACKLOG 64
#define CONNECTION_BYTES 8192 /* a request that needs more is refused */
#define FRESH_NS 200000000ULL /* scrapes closer together than this get the same text */
#define TLS_PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define TURNS 16 /* of the server in one turn of the loop */

struct server {
	struct MHD_Daemon *http;
	struct MHD_Response *texts[2]; /* by format; shared by every connection that still reads it */
	__u64 made_ns[2];
	struct MHD_Response *index, *unknown, *refused, *failed, *stranger;
	server_text *text;
	void *arg;
	struct serving serving;
	char token[TOKEN_MAX + 1]; /* "": everybody may ask */
	char *why;		   /* while it is opened: where words go; NULL: nobody listens */
	size_t why_size;
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
	if (*server->token &&
	    !token_fits(server->token, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization")))
		return MHD_queue_response(connection, MHD_HTTP_UNAUTHORIZED, server->stranger);
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

static bool make_answers(struct server *server)
{
	server->index = fixed("Bulwark's metrics are at /metrics\n");
	server->unknown = fixed("not here; metrics are at /metrics\n");
	server->refused = fixed("only GET and HEAD\n");
	server->failed = fixed("the counters cannot be read\n");
	server->stranger = fixed("who asks says: Authorization: Bearer TOKEN\n");
	if (!server->index || !server->unknown || !server->refused || !server->failed || !server->stranger)
		return false;
	MHD_add_response_header(server->refused, "Allow", "GET, HEAD");
	MHD_add_response_header(server->stranger, "WWW-Authenticate", "Bearer");
	return true;
}

/* What the library has to say of a certificate; of clients it would say too much. */
static void __attribute__((format(printf, 2, 0))) hear_library(void *arg, const char *format, va_list arguments)
{
	struct server *server = arg;

	if (!server->why)
		return;
	vsnprintf(server->why, server->why_size, format, arguments);
	server->why[strcspn(server->why, "\r\n")] = '\0';
}

/* TLS where cert is given. Takes the listener. */
static int start_library(struct server *server, int listener, const char *cert, const char *key)
{
	const struct MHD_OptionItem tls[] = {
		{cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, (void *)cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL},
	};
	const union MHD_DaemonInfo *about;

	server->http =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (cert ? MHD_USE_TLS : 0), 0, NULL, NULL, answer,
				 server, MHD_OPTION_EXTERNAL_LOGGER, hear_library, server, MHD_OPTION_LISTEN_SOCKET,
				 listener, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				 SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
				 MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
	if (!server->http) {
		close(listener);
		return -EINVAL;
	}
	about = MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_EPOLL_FD);
	server->fd = about ? about->epoll_fd : -1;
	return server->fd < 0 ? -ENOTSUP : 0;
}

/* The files are read first: what cannot be served safely is not served at all. */
static int begin(struct server *server)
{
	const struct serving *serving = &server->serving;
	char *cert = NULL, *key = NULL;
	int listener = -1, error = 0;

	if (*serving->token_file)
		error = token_read(serving->token_file, server->token, server->why, server->why_size);
	if (!error && *serving->cert) {
		cert = secret_read(serving->cert, false, server->why, server->why_size);
		key = cert ? secret_read(serving->key, true, server->why, server->why_size) : NULL;
		error = key ? 0 : -EINVAL;
	}
	if (!error) {
		error = make_answers(server) ? listen_at(serving->endpoint, &listener) : -ENOMEM;
		snprintf(server->why, server->why_size, "%s", strerror(-error));
	}
	if (!error)
		error = start_library(server, listener, cert, key);
	secret_forget(cert);
	secret_forget(key);
	server->why = NULL;
	return error;
}

int server_open(const struct serving *serving, server_text *text, void *arg, struct server **result, char *why,
		size_t size)
{
	struct server *server = calloc(1, sizeof(*server));
	int error;

	snprintf(why, size, "%s", strerror(ENOMEM));
	if (!server)
		return -ENOMEM;
	*server = (struct server){.text = text, .arg = arg, .serving = *serving, .why = why, .why_size = size};
	error = begin(server);
	if (error)
		server_close(server);
	else
		*result = server;
	return error;
}

void server_close(struct server *server)
{
	struct MHD_Response *responses[7];

	if (!server)
		return;
	memcpy(responses, server->texts, sizeof(server->texts));
	responses[2] = server->index;
	responses[3] = server->unknown;
	responses[4] = server->refused;
	responses[5] = server->failed;
	responses[6] = server->stranger;
	if (server->http)
		MHD_stop_daemon(server->http);
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++)
		if (responses[i])
			MHD_destroy_response(responses[i]);
	explicit_bzero(server->token, sizeof(server->token));
	free(server);
}

const struct serving *server_serving(const struct server *server)
{
	return &server->serving;
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
