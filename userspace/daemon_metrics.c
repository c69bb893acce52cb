/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where metrics are served: as the policy in force says. While none is in force it goes on, so that this is seen. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "policy.h"
#include "server.h"

#define RETRY_NS (5ULL * 1000000000)

static void on_request(struct daemon *daemon)
{
	server_run(daemon->server);
}

static struct source requests = {-1, on_request};

static char *text(void *arg, enum exposition_format format, size_t *length)
{
	struct daemon *daemon = arg;

	daemon->exposed.feeds_refreshed = daemon->renew.refreshed;
	daemon->exposed.feeds_refused = daemon->renew.refused;
	memcpy(daemon->exposed.fetches, daemon->fetching.counts, sizeof(daemon->exposed.fetches));
	return exposition(&daemon->places, daemon->instance, &daemon->state, &daemon->exposed, format, length);
}

void metrics_stop(struct daemon *daemon)
{
	source_drop(daemon, &requests);
	server_close(daemon->server);
	daemon->server = NULL;
}

/* What cannot be served is told once for each place, and tried again. */
static void start(struct daemon *daemon)
{
	const struct serving *serving = &daemon->state.metrics;
	char why[SERVING_PATH + 128];
	int error;

	if (monotonic_ns() < daemon->serve_again_ns)
		return;
	error = server_open(serving, text, daemon, &daemon->server, why, sizeof(why));
	if (!error) {
		requests.fd = server_fd(daemon->server);
		error = source_add(daemon, &requests);
		snprintf(why, sizeof(why), "%s", strerror(-error));
	}
	if (!error) {
		daemon->serve_again_ns = 0;
		return;
	}
	metrics_stop(daemon);
	if (!daemon->serve_again_ns)
		tell_notice(daemon, "metrics-unavailable",
			    json_pack("{s:s, s:s}", "endpoint", serving->endpoint, "why", why),
			    "metrics cannot be served at %s: %s; tried again every %llu s", serving->endpoint, why,
			    RETRY_NS / 1000000000);
	daemon->serve_again_ns = monotonic_ns() + RETRY_NS;
}

static void take_over(struct serving *serving, const struct policy_metrics *metrics)
{
	memset(serving, 0, sizeof(*serving));
	snprintf(serving->endpoint, sizeof(serving->endpoint), "%s", metrics->listen ?: "");
	snprintf(serving->cert, sizeof(serving->cert), "%s", metrics->cert ?: "");
	snprintf(serving->key, sizeof(serving->key), "%s", metrics->key ?: "");
	snprintf(serving->token_file, sizeof(serving->token_file), "%s", metrics->token_file ?: "");
}

/* Takes over what the policy of the generation in force says. One that cannot be read changes nothing. */
static void ask_policy(struct daemon *daemon)
{
	struct report report = {};
	struct policy *policy = saved_policy(&daemon->places, daemon->generation, &report);

	if (policy && !report.errors) {
		take_over(&daemon->state.metrics, &policy->metrics);
		daemon->metrics_generation = daemon->generation;
		daemon->serve_again_ns = 0;
	}
	policy_free(policy);
	report_free(&report);
}

void metrics_follow(struct daemon *daemon)
{
	if (daemon->generation && daemon->generation != daemon->metrics_generation)
		ask_policy(daemon);
	if (daemon->server && memcmp(server_serving(daemon->server), &daemon->state.metrics, sizeof(struct serving)))
		metrics_stop(daemon);
	if (!daemon->server && *daemon->state.metrics.endpoint)
		start(daemon);
	if (daemon->server)
		server_run(daemon->server);
}
