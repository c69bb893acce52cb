/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where an instance lives, and sizes as people write them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"
#include "verbs.h"

int place_set(char *place, size_t size, const char *option, const char *value)
{
	if (!value || !*value)
		return fail(EXIT_USAGE, "%s needs a directory", option);
	if (strlen(value) >= size)
		return fail(EXIT_USAGE, "%s %s: the path is longer than %zu characters", option, value, size - 1);
	strcpy(place, value);
	return EXIT_DONE;
}

int places_from_environment(struct places *places)
{
	const char *pins = getenv("BULWARK_PIN_DIR"), *state = getenv("BULWARK_STATE_DIR");
	int error = place_set(places->pin_dir, sizeof(places->pin_dir), "BULWARK_PIN_DIR",
			      pins && *pins ? pins : PIN_DIR_DEFAULT);

	return error ? error
		     : place_set(places->state_dir, sizeof(places->state_dir), "BULWARK_STATE_DIR",
				 state && *state ? state : STATE_DIR_DEFAULT);
}

int bytes_parse(const char *text, __u64 *bytes)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
	char *unit;

	errno = 0;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	*bytes = strtoull(text, &unit, 10);
	for (size_t i = 0; !errno && i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(unit, units[i].name) || *bytes > ~0ULL >> units[i].shift)
			continue;
		*bytes <<= units[i].shift;
		return 0;
	}
	return -EINVAL;
}
