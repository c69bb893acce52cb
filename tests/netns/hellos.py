# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ClientHellos: as bytes, in segments, from real clients; and the JA4 of one, by the words of its description."""

import fcntl
import hashlib
import ssl
import struct
import warnings

from lab import *  # noqa: F403

warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is tried here


def context(alpn=(), highest=None, ciphers="ALL:@SECLEVEL=0"):
    one = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    one.check_hostname = False
    one.verify_mode = ssl.CERT_NONE
    one.set_ciphers(ciphers)
    one.minimum_version = ssl.TLSVersion.TLSv1
    if highest:
        one.maximum_version = highest
    if alpn:
        one.set_alpn_protocols(list(alpn))
    return one


def hello(name, **more):
    """The bytes of a ClientHello."""
    outgoing = ssl.MemoryBIO()
    client = context(**more).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def extension(kind, content=b""):
    return struct.pack(">HH", kind, len(content)) + content


def extended(data, *extensions, ciphers=b""):
    """A ClientHello with more extensions behind its own, and cipher suites before them."""
    at = 9 + 2 + 32
    at += 1 + data[at]
    size = int.from_bytes(data[at:at + 2], "big")
    data = bytearray(data[:at] + (size + len(ciphers)).to_bytes(2, "big") + ciphers + data[at + 2:] + b"".join(extensions))
    at += 2 + size + len(ciphers)
    at += 1 + data[at]
    data[3:5] = (len(data) - 5).to_bytes(2, "big")
    data[6:9] = (len(data) - 9).to_bytes(3, "big")
    data[at:at + 2] = (len(data) - at - 2).to_bytes(2, "big")
    return bytes(data)


def padded(name, size):
    """A ClientHello of size bytes that ends with an extension nobody knows: longer than a segment."""
    data = hello(name)
    return extended(data, extension(0x0a0a, bytes(size - len(data) - 4)))


def like_chrome(name):
    """With GREASE among suites and extensions, and an encrypted ClientHello within, of which only the outer name can be read."""
    outer = b"\0" + struct.pack(">HHB", 1, 1, 42) + extension(0, bytes(32))[2:] + extension(0, bytes(208))[2:]
    return extended(hello(name), extension(0x2a2a), extension(0xfe0d, outer), extension(0x4a4a, b"\0"), ciphers=b"\xca\xca")


def answer_to(lab, pieces, address=None, namespace=None):
    """What comes back to bytes sent in these segments: the first answer, b"" at its end, or "reset"."""
    with connect(namespace or lab.client, address or lab.eth0.v4, 443) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                client.sendall(piece)
                if piece is not pieces[-1]:  # it has been received, so the next piece is a segment of its own
                    wait(lambda: not outstanding(client), "an acknowledgement")
            return client.recv(5)
        except (ConnectionResetError, BrokenPipeError):
            return "reset"


def outstanding(client):
    """Bytes that the peer has not acknowledged (SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(client, 0x5411, b"\0\0\0\0"))[0]


def handshake(lab, name, address=None, namespace=None, **more):
    """The version agreed upon, or "reset"."""
    with connect(namespace or lab.client, address or lab.eth0.v4, 443) as client:
        try:
            with context(**more).wrap_socket(client, server_hostname=name) as secure:
                return secure.version()
        except (ConnectionResetError, BrokenPipeError):
            return "reset"


def grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def numbers(data):
    """16-bit ones, without GREASE."""
    return [number for number, in struct.iter_unpack(">H", data) if not grease(number)]


def ja4(data):
    """Of the bytes of a ClientHello. Written apart from userspace/ja4.c."""
    at = 9 + 2 + 32
    at += 1 + data[at]
    size = int.from_bytes(data[at:at + 2], "big")
    ciphers = numbers(data[at + 2:at + 2 + size])
    at += 2 + size
    at += 1 + data[at] + 2
    version, kinds, named, protocol, algorithms = int.from_bytes(data[9:11], "big"), [], "i", "00", []
    while at < len(data):
        kind, size = struct.unpack_from(">HH", data, at)
        content = data[at + 4:at + 4 + size]
        at += 4 + size
        kinds += [] if grease(kind) else [kind]
        if kind == 0:
            named = "d"
        elif kind == 13:
            algorithms = numbers(content[2:])
        elif kind == 16:
            protocol = chr(content[3]) + chr(content[2 + content[2]])
        elif kind == 43:
            version = max(numbers(content[1:]))
    words = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10"}
    lists = (sorted(ciphers), sorted(kind for kind in kinds if kind not in (0, 16)), algorithms)
    texts = [",".join(f"{value:04x}" for value in values) for values in lists]
    hashes = [hashlib.sha256(text.encode()).hexdigest()[:12]
              for text in (texts[0], texts[1] + "_" + texts[2] if algorithms else texts[1])]
    return f"t{words[version]}{named}{len(ciphers):02}{len(kinds):02}{protocol}_{hashes[0]}_{hashes[1]}"


def turned(data):
    """The same client, with its cipher suites and extensions in the opposite order."""
    at = 9 + 2 + 32
    at += 1 + data[at]
    size = int.from_bytes(data[at:at + 2], "big")
    ciphers = [data[i:i + 2] for i in range(at + 2, at + 2 + size, 2)]
    begin = at + 2 + size
    begin += 1 + data[begin] + 2
    extensions, place = [], begin
    while place < len(data):
        end = place + 4 + int.from_bytes(data[place + 2:place + 4], "big")
        extensions.append(data[place:end])
        place = end
    return data[:at + 2] + b"".join(reversed(ciphers)) + data[at + 2 + size:begin] + b"".join(reversed(extensions))
