# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The client of the lab: HTTPS requests, each over a connection of its own, started by the clock whether or not earlier ones
have been answered. One line of JSON a period: how many ended well, how many did not, and how long they took.

usage: load.py ADDRESS PORT NAME CERTIFICATE RATE TIMEOUT
"""

import asyncio
import json
import ssl
import sys

PERIOD = 0.25


async def fetch(address, port, name, context):
    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.transport.abort()


async def request(fetching, timeout, results):
    """Appends the seconds that it took, or None."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        answer = await asyncio.wait_for(fetching, timeout)
    except (OSError, asyncio.TimeoutError):
        answer = b""
    took = clock() - began
    results.append(took if answer.startswith(b"HTTP/1.1 200") and took <= timeout else None)


async def report(results):
    while True:
        await asyncio.sleep(PERIOD)
        good = [seconds for seconds in results if seconds is not None]
        print(json.dumps({"good": len(good), "bad": len(results) - len(good), "seconds": good}), flush=True)
        results.clear()


async def main():
    address, port, name, certificate, rate, timeout = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    clock = asyncio.get_running_loop().time
    results, tasks = [], set()

    tasks.add(asyncio.create_task(report(results)))
    due = clock()
    while True:
        task = asyncio.create_task(request(fetch(address, int(port), name, context), float(timeout), results))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due = max(due + 1 / float(rate), clock() - float(timeout))  # what this process slept through is not made up for
        await asyncio.sleep(max(due - clock(), 0))


if __name__ == "__main__":
    asyncio.run(main())
