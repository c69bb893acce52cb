# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A long line from the node to a far client: it takes its time, may lose segments, and can be cut. (Not every kernel has
netem.)"""

import select
import socket
import threading
import time

from lab import SOL_PACKET, ETH_P_ALL, PACKET_IGNORE_OUTGOING, End, veth

PACKET_VNET_HDR = 15
VNET_HEADER = 10  # bytes before each frame: what its sums and sizes leave to the device goes over the line, too
FAR = {4: "51.15.3.2", 6: "2a01:7e00:3::2"}


class Line:
    """node == eth2 ---- delay seconds each way ---- c2 == far"""

    def __init__(self, lab, delay):
        middle, self.far, self.delay = lab.namespace("line"), lab.namespace("far"), delay
        veth(lab.node, "eth2", middle, "l0")
        veth(middle, "l1", self.far, "c2")
        lab.node.run("ip", "link", "set", "eth2", "gso_max_segs", "1")  # what is lost is one segment
        self.near = End(lab.node, "eth2", "51.15.3.1", "2a01:7e00:3::1")
        End(self.far, "c2", FAR[4], FAR[6])
        self.cut = False
        self.lose_each = self.large = self.lost = 0  # of the frames towards the far client that are full of payload
        self.ends = [self.end(middle, device) for device in ("l0", "l1")]
        self.way, self.over = [], False  # frames on their way: (when they are due, the end they come out of, frame)
        thread = threading.Thread(target=self.carry, daemon=True)
        thread.start()
        lab.undo.callback(self.close, thread)

    @staticmethod
    def end(namespace, device):
        one = namespace.raw(device)
        one.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        one.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        one.bind((device, ETH_P_ALL))
        return one

    def loses(self, to, frame):
        if self.cut:
            return True
        if not self.lose_each or to is not self.ends[1] or len(frame) < VNET_HEADER + 1000:
            return False
        self.large += 1
        lost = self.large % self.lose_each == 0
        self.lost += lost
        return lost

    def carry(self):
        while not self.over:
            rest = max(0, self.way[0][0] - time.monotonic()) if self.way else 0.1
            for one in select.select(self.ends, [], [], rest)[0]:
                to, frame = self.ends[one is self.ends[0]], one.recv(1 << 17)
                if not self.loses(to, frame):
                    self.way.append((time.monotonic() + self.delay, to, frame))
            while self.way and self.way[0][0] <= time.monotonic():
                _, to, frame = self.way.pop(0)
                if not self.cut:
                    to.send(frame)

    def close(self, thread):
        self.over = True
        thread.join()
        for one in self.ends:
            one.close()
