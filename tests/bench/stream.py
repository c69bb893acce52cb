# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""One TCP stream for so many seconds. usage: stream.py take ADDRESS PORT | send ADDRESS PORT SECONDS

`take` says ready and takes one stream after the other, a line each: bytes and seconds.
"""

import socket
import sys
import time

PIECE = 1 << 18


def take(address, port):
    server = socket.create_server((address, port))
    buffer = bytearray(PIECE)
    print("ready", flush=True)
    while True:
        connection, taken, began = server.accept()[0], 0, time.monotonic()
        while count := connection.recv_into(buffer):
            taken += count
        connection.close()
        print(taken, time.monotonic() - began, flush=True)


def send(address, port, seconds):
    with socket.create_connection((address, port), timeout=5) as connection:
        end, piece = time.monotonic() + seconds, bytes(PIECE)
        while time.monotonic() < end:
            connection.sendall(piece)


if __name__ == "__main__":
    if sys.argv[1] == "take":
        take(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
