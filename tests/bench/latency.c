/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* latency MEBIBYTES: ns of CPU that one dependent random read in that much memory takes. What a table lookup that
 * misses the caches costs on this machine at this hour is a multiple of it, whatever the program. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE 64
#define READS 1000000

static unsigned long state = 0x9e3779b97f4a7c15UL;

static unsigned long draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dUL;
}

/* One cycle through all lines (Sattolo's shuffle): where to go next stands in each. */
static void make_cycle(size_t *memory, size_t lines)
{
	size_t stride = LINE / sizeof(*memory), i, j, kept;

	for (i = 0; i < lines; i++)
		memory[i * stride] = i;
	for (i = lines - 1; i > 0; i--) {
		j = draw() % i;
		kept = memory[i * stride];
		memory[i * stride] = memory[j * stride];
		memory[j * stride] = kept;
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
	size_t lines = argc > 1 ? strtoull(argv[1], NULL, 10) * (1 << 20) / LINE : 0, at = 0, i;
	size_t *memory = lines ? malloc(lines * LINE) : NULL;
	double began;

	if (!memory) {
		fprintf(stderr, "usage: latency MEBIBYTES\n");
		return 2;
	}
	make_cycle(memory, lines);
	for (i = 0; i < READS / 4; i++)
		at = memory[at * (LINE / sizeof(*memory))];
	began = now_ns();
	for (i = 0; i < READS; i++)
		at = memory[at * (LINE / sizeof(*memory))];
	printf("%.1f\n", (now_ns() - began) / READS + (at == lines));
	free(memory);
	return 0;
}
