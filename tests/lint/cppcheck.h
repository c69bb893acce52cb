/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Macros of libraries that cppcheck has to know to read what stands behind them. */
#define LIBBPF_OPTS(type, name, ...) struct type name = {0}
#define json_array_foreach(array, i, value) for (i = 0; (value = json_array_get(array, i)); i++)
#define json_object_foreach(object, key, value) for (key = json_key(object); (value = json_value(key)); key++)
#define bpf_object__for_each_program(one, object) for (one = next(object); one; one = next(object))
#define bpf_object__for_each_map(one, object) for (one = next(object); one; one = next(object))
