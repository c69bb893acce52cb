# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Connections. usage: connections.py listen ADDRESS PORT | connect ADDRESS PORT COUNT SOURCE... | try ADDRESS PORT COUNT
| silent ADDRESS PORT | serve ADDRESS PORT | churn ADDRESS PORT

`listen` says ready and accepts for ever; `connect` prints a line "address port" for its end of each, then ready, and keeps
them until it is killed. `try` prints how many of so many, ten at a time, were made within three
seconds each; it ends when a tenth have failed. `silent` makes one and prints its own port and the sequence number of its first byte,
which it never sends. `serve` says ready, and ends each connection when its client does; `churn` makes as many, one after the other, as
each line on standard input says, and answers with a line.
"""

import concurrent.futures
import resource
import signal
import socket
import sys


def listen(address, port):
    server = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=4096)
    kept = []
    print("ready", flush=True)
    while True:
        kept.append(server.accept())


def connect(address, port, count, sources):
    kept = [socket.create_connection((address, port), timeout=5, source_address=(sources[i % len(sources)], 0))
            for i in range(count)]
    for connection in kept:
        print(*connection.getsockname()[:2])
    print("ready", flush=True)
    signal.pause()


TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_SEND_QUEUE = 19, 20, 21, 2


def silent(address, port):
    connection = socket.create_connection((address, port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)
    print(connection.getsockname()[1], connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xFFFFFFFF, flush=True)
    signal.pause()


def serve(address, port):
    server = socket.create_server((address, port))
    print("ready", flush=True)
    while True:
        connection = server.accept()[0]
        while connection.recv(4096):
            pass
        connection.close()


def churn(address, port):
    for line in sys.stdin:
        for _ in range(int(line)):
            with socket.create_connection((address, port), timeout=5) as connection:
                connection.sendall(b"hello")
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
        print("done", flush=True)


AT_ONCE = 10


def attempt(address, port):
    try:
        socket.create_connection((address, port), timeout=3).close()
        return True
    except OSError:
        return False


def attempts(address, port, count):
    """Ends early when it is no use."""
    made = failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(0, count, AT_ONCE):
            good = sum(pool.map(lambda _: attempt(address, port), range(AT_ONCE)))
            made, failed = made + good, failed + AT_ONCE - good
            if failed > count // 10:
                break
    print(made)


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.argv[1] == "listen":
        listen(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "silent":
        silent(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] in ("serve", "churn"):
        (serve if sys.argv[1] == "serve" else churn)(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "try":
        attempts(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        connect(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
