/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Giving up privileges, paths and system calls. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#define MEMORY_BYTES (512ULL << 20)
#define PROCESSOR_SECONDS 120

/* ---- who ---- */

static int become(const char *user)
{
	const struct passwd *entry = getpwnam(user) ?: getpwnam("nobody");

	if (geteuid())
		return 0; /* as an ordinary user: that one */
	if (!entry) {
		errno = ENOENT;
		return -1;
	}
	return setgroups(0, NULL) || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) ||
	       setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid);
}

/* Without CAP_SETPCAP (a sandbox) the bounding set is the sandbox's. */
static int drop_capabilities(void)
{
	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
		capng_clear(CAPNG_SELECT_BOUNDS);
		capng_apply(CAPNG_SELECT_BOUNDS);
	}
	return 0;
}

static int drop_rest(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- how much ---- */

static int bound(__u64 file_bytes)
{
	const struct {
		int resource;
		rlim_t most;
	} limits[] = {{RLIMIT_FSIZE, file_bytes},
		      {RLIMIT_AS, MEMORY_BYTES},
		      {RLIMIT_CPU, PROCESSOR_SECONDS},
		      {RLIMIT_NOFILE, 64},
		      {RLIMIT_CORE, 0}};

	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rlimit limit = {limits[i].most, limits[i].most};

		if (setrlimit(limits[i].resource, &limit) && errno != EPERM) /* EPERM: it is less already */
			return -1;
	}
	return 0;
}

/* ---- which files ---- */

/* A kernel without Landlock lacks this fence, not the others. */
static int fence_files(void)
{
	static const char *const readable[] = {"/etc", "/usr", "/lib", "/lib64", "/run", "/dev/urandom"};
	const __u64 reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const struct landlock_ruleset_attr handled = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0), error;

	if (rules < 0)
		return 0;
	for (size_t i = 0; i < sizeof(readable) / sizeof(*readable); i++) {
		struct landlock_path_beneath_attr rule = {.allowed_access = i + 1 < sizeof(readable) / sizeof(*readable)
										    ? reading
										    : LANDLOCK_ACCESS_FS_READ_FILE,
							  .parent_fd = open(readable[i], O_PATH | O_CLOEXEC)};

		if (rule.parent_fd < 0)
			continue;
		syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
		close(rule.parent_fd);
	}
	error = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return error;
}

/* ---- which calls ---- */

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define NEVER(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), RETURN(REFUSE)
#define FAMILY(family) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_##family, 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define X32 0x40000000

static int fence_calls(void)
{
	static struct sock_filter filter[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1),
		RETURN(REFUSE),
		NEVER(execve),
		NEVER(execveat),
		NEVER(ptrace),
		NEVER(process_vm_readv),
		NEVER(process_vm_writev),
		NEVER(pidfd_getfd),
		NEVER(bpf),
		NEVER(perf_event_open),
		NEVER(io_uring_setup),
		NEVER(userfaultfd),
		NEVER(keyctl),
		NEVER(add_key),
		NEVER(request_key),
		NEVER(unshare),
		NEVER(setns),
		NEVER(mount),
		NEVER(umount2),
		NEVER(move_mount),
		NEVER(open_tree),
		NEVER(fsopen),
		NEVER(chroot),
		NEVER(pivot_root),
		NEVER(open_by_handle_at),
		NEVER(init_module),
		NEVER(finit_module),
		NEVER(kexec_load),
		NEVER(personality),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		RETURN(SECCOMP_RET_ALLOW),
		LOAD(args[0]), /* low half: both machines are little endian */
		FAMILY(INET),
		FAMILY(INET6),
		FAMILY(UNIX),
		FAMILY(NETLINK),
		RETURN(REFUSE),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#else
static int fence_calls(void)
{
	return 0;
}
#endif

const char *confine(const char *user, __u64 file_bytes)
{
	if (drop_capabilities() || become(user))
		return "becoming another user";
	if (drop_rest())
		return "dropping capabilities";
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (bound(file_bytes))
		return "setting limits";
	if (fence_files())
		return "fencing files (Landlock)";
	if (fence_calls())
		return "fencing system calls (seccomp)";
	return NULL;
}
