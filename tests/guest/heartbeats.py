#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody on the network can do with the heartbeats of drbd-had.

heartbeats.py record IF FILE       keeps what this node sends on an interface: six heartbeats and a greeting, at least
heartbeats.py send IF FILE HOW     sends what was kept, says how many datagrams; HOW is one of
    again      as it was
    forged     heartbeats that nobody has sealed, and greetings signed with a key of our own that name the cluster's
    wrong-key  greetings signed with a key of our own
    garbage    what is no heartbeat at all
heartbeats.py repeat IF FILE SECONDS   sends it as it was, again and again
"""
import hashlib
import hmac
import socket
import struct
import sys
import time

PORT = 7700
OUTGOING = 4
HELLO, ACK, DATA = 1, 2, 3
# Receivers look at ten greetings a second.
PAUSE = 0.2
CLUSTER = b"lab"
SECRET = b"somebody else's key, 48 bytes long, or a bit less"
TAG = 32


def open_socket(interface):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.bind((interface, 0))
    return raw


def payload_at(packet):
    """Where the datagram begins, if it is one to the daemon's port."""
    if len(packet) < 42 or packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_UDP:
        return None
    udp = 14 + (packet[14] & 15) * 4
    if struct.unpack_from("!H", packet, udp + 2)[0] != PORT or packet[udp + 8 : udp + 12] != b"DHA1":
        return None
    return udp + 8


def record(interface, path):
    raw = open_socket(interface)
    kept = {HELLO: 0, ACK: 0, DATA: 0}
    with open(path, "w") as file:
        while kept[DATA] < 6 or kept[HELLO] < 1:
            packet, where = raw.recvfrom(65536)
            at = payload_at(packet)
            if where[2] != OUTGOING or at is None:
                continue
            kind = packet[at + 4]
            if kept[kind] < 6:
                kept[kind] += 1
                file.write(packet.hex() + "\n")


def key():
    """The secret's id on the wire, and what greetings are signed with."""
    number = hashlib.sha256(b"drbd-ha key id" + SECRET).digest()[0]
    extracted = hmac.new(b"hello", SECRET, hashlib.sha256).digest()
    return number, hmac.new(extracted, CLUSTER + b"\x01", hashlib.sha256).digest()


def signed(text, number):
    text = text[:5] + bytes([number]) + text[6:]
    return text + hmac.new(key()[1], text, hashlib.sha256).digest()


def changed(datagram, how):
    """The same with a lie in it; nothing where this lie is not possible."""
    kind = datagram[4]
    if how == "again":
        return datagram
    if how == "garbage":
        return datagram[:4] + b"\xff" + datagram[5:]
    if kind == HELLO:
        return signed(datagram[:-TAG], datagram[5] if how == "forged" else key()[0])
    if kind == DATA and how == "forged":
        session, number = struct.unpack_from("<IQ", datagram, 8)
        return datagram[:8] + struct.pack("<IQ", session, number + 1000) + datagram[20:]
    return None


def send(interface, path, how):
    raw = open_socket(interface)
    count = 0
    with open(path) as file:
        packets = [bytes.fromhex(line) for line in file]
    for packet in packets:
        at = payload_at(packet)
        datagram = changed(packet[at:], how)
        if datagram is None:
            continue
        # The card would have completed the checksum; none is fine.
        raw.send(packet[: at - 2] + b"\0\0" + datagram)
        count += 1
        time.sleep(PAUSE)
    return count


def main():
    what, interface, path = sys.argv[1:4]
    if what == "record":
        record(interface, path)
    elif what == "send":
        print(send(interface, path, sys.argv[4]))
    else:
        end = time.monotonic() + float(sys.argv[4])
        while time.monotonic() < end:
            send(interface, path, "again")


main()
