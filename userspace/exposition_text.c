/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "exposition_text.h"
#include "utf8.h"

static const char *suffix(enum metric_type type)
{
	return type == METRIC_COUNTER ? "_total" : type == METRIC_INFO ? "_info" : "";
}

/* OpenMetrics names the family, the older format the samples; that one knows no info. */
void metric_family(struct exposition_text *text, enum metric_type type, const char *name, const char *help)
{
	static const char *const words[] = {"counter", "gauge", "info", "histogram"};
	bool open = text->format == EXPOSITION_OPENMETRICS;
	const char *behind = open ? "" : suffix(type);

	text->name = name;
	text->type = type;
	fprintf(text->out, "# HELP %s%s %s\n", name, behind, help);
	fprintf(text->out, "# TYPE %s%s %s\n", name, behind, !open && type == METRIC_INFO ? "gauge" : words[type]);
}

/* Most names are plain: as many characters at once as need no look. */
static size_t plain(const char *value)
{
	size_t length = 0;

	while (value[length] >= ' ' && value[length] <= '~' && value[length] != '"' && value[length] != '\\')
		length++;
	return length;
}

/* Whatever a path holds: what is no UTF-8 or would not be seen becomes one '?'. */
static void write_value(FILE *out, const char *value)
{
	for (size_t left = strlen(value), length; left; value += length, left -= length) {
		unsigned character, bytes;

		length = plain(value);
		if (length) {
			fwrite(value, 1, length, out);
			continue;
		}
		character = utf8_character(value, left, &bytes);
		length = bytes ?: 1;
		if (!bytes || utf8_is_unseen(character)) {
			fputc('?', out);
		} else {
			if (*value == '"' || *value == '\\')
				fputc('\\', out);
			fwrite(value, 1, length, out);
		}
	}
}

static void write_labels(FILE *out, va_list labels)
{
	const char *label, *value;
	char before = '{';

	while ((label = va_arg(labels, const char *)) && (value = va_arg(labels, const char *))) {
		if (!*value)
			continue;
		fputc(before, out);
		fputs(label, out);
		fputs("=\"", out);
		write_value(out, value);
		fputc('"', out);
		before = ',';
	}
	if (before == ',')
		fputc('}', out);
}

static void write_name(const struct exposition_text *text)
{
	fputs(text->name, text->out);
	fputs(suffix(text->type), text->out);
}

void metric_count(struct exposition_text *text, __u64 value, ...)
{
	va_list labels;

	write_name(text);
	va_start(labels, value);
	write_labels(text->out, labels);
	va_end(labels);
	fprintf(text->out, " %llu\n", (unsigned long long)value);
}

void metric_number(struct exposition_text *text, double value, ...)
{
	va_list labels;

	write_name(text);
	va_start(labels, value);
	write_labels(text->out, labels);
	va_end(labels);
	fprintf(text->out, " %.15g\n", value);
}

void metric_histogram(struct exposition_text *text, const struct histogram *histogram, double unit, const char *label,
		      const char *value)
{
	__u64 count = 0;

	for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		char most[32] = "+Inf";

		count += histogram->bucket[i];
		/* a value below 2^i is at most 2^i - 1: a bucket ends between the two */
		if (i < HISTOGRAM_BUCKETS)
			snprintf(most, sizeof(most), "%.15g", (double)(1u << i) * unit);
		fprintf(text->out, "%s_bucket{%s=\"", text->name, label);
		write_value(text->out, value);
		fprintf(text->out, "\",le=\"%s\"} %llu\n", most, (unsigned long long)count);
	}
	fprintf(text->out, "%s_sum{%s=\"", text->name, label);
	write_value(text->out, value);
	fprintf(text->out, "\"} %.15g\n%s_count{%s=\"", (double)histogram->sum * unit, text->name, label);
	write_value(text->out, value);
	fprintf(text->out, "\"} %llu\n", (unsigned long long)count);
}

void exposition_end(struct exposition_text *text)
{
	if (text->format == EXPOSITION_OPENMETRICS)
		fputs("# EOF\n", text->out);
}

const char *exposition_content_type(enum exposition_format format)
{
	return format == EXPOSITION_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
						: "text/plain; version=0.0.4; charset=utf-8";
}

/* The value of a parameter within [at, end), or NULL. */
static const char *parameter(const char *at, const char *end, const char *name)
{
	size_t length = strlen(name);

	while ((at = memchr(at, ';', end - at))) {
		at++;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if ((size_t)(end - at) > length && !strncasecmp(at, name, length) && at[length] == '=')
			return at + length + 1;
	}
	return NULL;
}

/* The best weight that the client gives a media type, of these versions if it names one; 0: it does not ask for it. */
static double weight_of(const char *accept, const char *type, const char *versions)
{
	double best = 0;

	while (*accept) {
		const char *end = strchrnul(accept, ','), *q, *version;
		size_t length;
		double weight;

		accept += strspn(accept, " \t");
		length = accept < end ? strcspn(accept, ";, \t") : 0;
		q = accept < end ? parameter(accept, end, "q") : NULL;
		version = accept < end ? parameter(accept, end, "version") : NULL;
		weight = q ? strtod(q, NULL) : 1;
		if (versions && version && strncmp(version, versions, strlen(versions)))
			weight = 0;
		if (length == strlen(type) && !strncasecmp(accept, type, length) && weight > best && weight <= 1)
			best = weight;
		accept = *end ? end + 1 : end;
	}
	return best;
}

enum exposition_format exposition_negotiate(const char *accept)
{
	double open, plain;

	if (!accept)
		return EXPOSITION_PROMETHEUS;
	open = weight_of(accept, "application/openmetrics-text", "1.");
	plain = weight_of(accept, "text/plain", NULL);
	return open > 0 && open >= plain ? EXPOSITION_OPENMETRICS : EXPOSITION_PROMETHEUS;
}
