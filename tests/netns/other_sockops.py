# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Another program's sockops program beside ours, in a cgroup of its own, that takes our callbacks away."""

import contextlib
import ctypes
import os
import struct

from lab import *  # noqa: F403

PROG_TYPE_SOCK_OPS, CGROUP_SOCK_OPS, ATTACH, ALLOW_MULTI = 13, 3, 8, 2
SET_CB_FLAGS, STATE_CB_OP = 59, 10


def clobber(cgroup):
    """A sockops program that takes all callbacks from a connection as soon as its state changes. The descriptor."""
    code = struct.pack("<BBhi", 0x61, 0x12, 0, 0)             # r2 = ctx->op
    code += struct.pack("<BBhi", 0x55, 0x02, 2, STATE_CB_OP)  # not a change of state: return
    code += struct.pack("<BBhi", 0xB7, 0x02, 0, 0)            # r2 = 0
    code += struct.pack("<BBhi", 0x85, 0, 0, SET_CB_FLAGS)    # bpf_sock_ops_cb_flags_set(ctx, 0)
    code += struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    code, name = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    program = bpf(BPF_PROG_LOAD, struct.pack("=IIQQ", PROG_TYPE_SOCK_OPS, len(code) // 8, ctypes.addressof(code),
                                             ctypes.addressof(name)) + bytes(96))
    bpf(ATTACH, struct.pack("=IIII", cgroup, program, CGROUP_SOCK_OPS, ALLOW_MULTI) + bytes(112))
    return program


def move(cgroup):
    with open(cgroup + "/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


@contextlib.contextmanager
def robbed_cgroup(lab):
    """What this process starts meanwhile has its connections' callbacks taken. The cgroup goes with the lab."""
    with open("/proc/mounts", encoding="ascii") as file:
        root = next(line.split()[1] for line in file if line.split()[2] == "cgroup2")
    with open("/proc/self/cgroup", encoding="ascii") as file:
        home = root + next(line.strip().split("::")[1] for line in file if line.startswith("0::"))
    cgroup = f"{root}/bulwark-test-{os.getpid()}"
    os.mkdir(cgroup)
    lab.undo.callback(os.rmdir, cgroup)
    fd = os.open(cgroup, os.O_RDONLY)
    lab.undo.callback(os.close, fd)
    os.close(clobber(fd))
    move(cgroup)
    try:
        yield
    finally:
        move(home)
