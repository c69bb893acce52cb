/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this kernel can do and what this process may do, asked before anything is loaded. */
#include "kernel_private.h"

#include <bpf/btf.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

/* Capabilities newer than some headers. */
#define CAPABILITY_PERFMON 38
#define CAPABILITY_BPF 39

static __thread char complaint[512];

/* Keeps the last line that says something: of a refused program that is the verifier's. */
static int remember(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static const char end[] = "-- END PROG LOAD LOG --", processed[] = "processed ";
	char *text = NULL, *line, *rest;

	if (getenv("BULWARK_DEBUG")) {
		va_list copy;

		va_copy(copy, arguments);
		vfprintf(stderr, format, copy);
		va_end(copy);
	}
	if (level != LIBBPF_WARN)
		return 0;
	if (vasprintf(&text, format, arguments) < 0) /* the reason stands at the end of what may be very long */
		return 0;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		if (!*line || strstr(line, end) || !strncmp(line, processed, sizeof(processed) - 1))
			continue;
		if (strstr(line, "failed to load") && *complaint)
			continue;
		snprintf(complaint, sizeof(complaint), "%s", line);
	}
	free(text);
	return 0;
}

void libbpf_quiet(void)
{
	complaint[0] = 0;
	libbpf_set_print(remember);
}

const char *libbpf_words(void)
{
	return complaint;
}

/* ---- capabilities ---- */

static bool have_capability(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data))
		return true; /* the kernel will say */
	return data[capability / 32].effective & 1u << capability % 32;
}

int capabilities_needed(unsigned how)
{
	static const struct {
		unsigned capability;
		const char *name;
		bool writing;
	} needed[] = {
		{CAPABILITY_BPF, "CAP_BPF", false},
		{CAP_NET_ADMIN, "CAP_NET_ADMIN", true},
		{CAPABILITY_PERFMON, "CAP_PERFMON", true},
	};
	char missing[128] = "";

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		if (needed[i].writing && !(how & OPEN_CREATE))
			continue;
		if (have_capability(needed[i].capability))
			continue;
		if (needed[i].capability != CAP_NET_ADMIN && have_capability(CAP_SYS_ADMIN))
			continue;
		strcat(missing, *missing ? ", " : "");
		strcat(missing, needed[i].name);
	}
	if (!*missing)
		return 0;
	kernel_say("missing %s: run this as root (or with these capabilities)", missing);
	return -EPERM;
}

bool loading_denied(int error)
{
	/* the verifier says EACCES too: of a program, to those who may load */
	return error == -EPERM || (error == -EACCES && !have_capability(CAP_SYS_ADMIN) &&
				   !(have_capability(CAPABILITY_BPF) && have_capability(CAPABILITY_PERFMON)));
}

/* ---- features ---- */

bool kernel_has_syncookie_helpers(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_raw_check_syncookie_ipv4, NULL) == 1;
}

bool kernel_has_ipsec(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skb_get_xfrm_state, NULL) == 1;
}

static bool btf_has_function(const struct btf *btf, const char *name)
{
	return btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

/* To read the kernel's BTF takes 10 ms: once a process. What a module brings later, the next process sees. */
static struct {
	pthread_once_t asked;
	bool ct_lookup, own_cookies;
} functions = {.asked = PTHREAD_ONCE_INIT};

static void ask_functions(void)
{
	static const char ct_lookup[] = "bpf_xdp_ct_lookup";
	struct btf *kernel = btf__load_vmlinux_btf(), *module = NULL;

	functions.own_cookies = btf_has_function(kernel, "bpf_sk_assign_tcp_reqsk");
	functions.ct_lookup = btf_has_function(kernel, ct_lookup);
	if (kernel && !functions.ct_lookup) {
		module = btf__load_module_btf("nf_conntrack", kernel);
		functions.ct_lookup = btf_has_function(module, ct_lookup);
	}
	btf__free(module);
	btf__free(kernel);
}

bool kernel_has_own_cookies(void)
{
	pthread_once(&functions.asked, ask_functions);
	return functions.own_cookies && !getenv("BULWARK_KERNEL_COOKIES"); /* for tests: as if it were older */
}

bool kernel_has_ct_lookup(void)
{
	pthread_once(&functions.asked, ask_functions);
	return functions.ct_lookup;
}

bool kernel_has_tcx(void)
{
	__u32 count = 0;
	struct btf *kernel;
	bool there;

	/* no such interface: with tcx it is looked for, without tcx the attach type itself is refused */
	if (bpf_prog_query(0x7fffffff, ATTACH_TCX_EGRESS, 0, NULL, NULL, &count) == -ENODEV || errno == ENODEV)
		return true;
	if (errno != EPERM)
		return false;
	kernel = btf__load_vmlinux_btf(); /* doctor, of somebody who may not ask */
	there = btf_has_function(kernel, "tcx_prog_attach");
	btf__free(kernel);
	return there;
}

static bool jit_enabled(void)
{
	FILE *file = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int answer = file ? fgetc(file) : '1'; /* where it is always on, there is no switch to read */

	if (file)
		fclose(file);
	return answer != '0';
}

void kernel_features(struct kernel_features *features)
{
	libbpf_quiet();
	*features = (struct kernel_features){
		.tcx = kernel_has_tcx(),
		.conntrack_lookup = kernel_has_ct_lookup(),
		.own_cookies = kernel_has_own_cookies(),
		.syncookie_helpers = kernel_has_syncookie_helpers(),
		.jit = jit_enabled(),
	};
}

static bool helper_there(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, NULL) != 0;
}

/* Only what is certainly absent is refused: a probe that cannot tell lets the verifier speak. */
int kernel_supported(void)
{
	static const struct {
		enum bpf_prog_type type;
		enum bpf_func_id helper;
		const char *name;
	} needed[] = {
		{BPF_PROG_TYPE_XDP, BPF_FUNC_jiffies64, "bpf_jiffies64 (5.6)"},
		{BPF_PROG_TYPE_XDP, BPF_FUNC_ringbuf_output, "ring buffers (5.8)"},
		{BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, "the coarse clock in BPF (5.11)"},
		{BPF_PROG_TYPE_XDP, BPF_FUNC_skc_lookup_tcp, "socket look-up in XDP (5.0)"},
		{BPF_PROG_TYPE_SYSCALL, BPF_FUNC_jiffies64, "syscall programs (5.14)"},
		{BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_get_buff_len, "XDP for frames of several buffers (5.18)"},
		{BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_raw_check_syncookie_ipv4, "SYN cookie checks in XDP (6.0)"},
	};
	char missing[512] = "";
	struct utsname name = {};

	libbpf_quiet();
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		size_t used = strlen(missing);

		if (!helper_there(needed[i].type, needed[i].helper))
			snprintf(missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "", needed[i].name);
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s", *missing ? ", " : "",
			 "BTF (CONFIG_DEBUG_INFO_BTF)");
	if (!*missing)
		return 0;
	uname(&name);
	kernel_say("this kernel (%s) lacks %s: Bulwark needs Linux 6.1 or later", name.release, missing);
	return -EOPNOTSUPP;
}
