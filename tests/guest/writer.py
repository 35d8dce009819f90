#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records what is durable.

writer.py write FILE       appends numbered 4 KiB records, fsyncs each, and says its number once fsync returned
writer.py check FILE LAST  fails unless records 1..LAST are all there and whole
"""
import os
import sys
import zlib

SIZE = 4096


def record(number):
    body = (b"record %d " % number) * 600
    body = body[: SIZE - 16]
    return b"%08x%08x" % (number, zlib.crc32(body)) + body


def write(path):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(directory)
    number = os.fstat(file).st_size // SIZE
    while True:
        number += 1
        os.pwrite(file, record(number), (number - 1) * SIZE)
        os.fsync(file)
        os.write(1, b"%d\n" % number)


def check(path, last):
    with open(path, "rb") as file:
        for number in range(1, last + 1):
            found = file.read(SIZE)
            if found != record(number):
                sys.exit(f"record {number} of {last} acknowledged ones is {'damaged' if found else 'lost'}")
    print(f"{last} records are there")


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    check(sys.argv[2], int(sys.argv[3]))
