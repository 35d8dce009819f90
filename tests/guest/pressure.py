# SPDX-License-Identifier: GPL-2.0-or-later
"""More memory than the machine has: pressure.py ANONYMOUS_MIB FILE FILE_MIB ROUNDS

Fills anonymous memory, which has to be swapped out, and a mapping of FILE, which is written back
page by page, and looks again and again whether every page says what was written last.
"""
import mmap
import os
import random
import sys

PAGE = 4096


def word(kind, page, version):
    return b"%s %08d %08d\n" % (kind, page, version)


def main():
    anonymous_mib, path, file_mib, rounds = sys.argv[1:]
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(handle, int(file_mib) << 20)
    areas = [
        (b"anonymous", mmap.mmap(-1, int(anonymous_mib) << 20)),
        (b"file", mmap.mmap(handle, int(file_mib) << 20)),
    ]
    versions = [[0] * (len(memory) // PAGE) for _, memory in areas]
    order = [(area, page) for area in (0, 1) for page in range(len(versions[area]))]
    dice = random.Random(7)
    noise = os.urandom(PAGE)
    for number in range(1, int(rounds) + 1):
        dice.shuffle(order)
        for area, page in order:
            kind, memory = areas[area]
            at = page * PAGE
            seen = versions[area][page]
            if seen:
                want = word(kind, page, seen)
                got = memory[at : at + len(want)]
                if got != want:
                    sys.exit("page %d: %r instead of %r" % (page, got, want))
            # Most pages are written anew, and do not shrink by compression.
            if not seen or dice.random() < 0.6:
                text = word(kind, page, number)
                memory[at : at + PAGE] = text + noise[len(text) :]
                versions[area][page] = number
        print("round", number, flush=True)
    areas[1][1].flush()
    os.fsync(handle)
    for page, seen in enumerate(versions[1]):
        want = word(b"file", page, seen)
        if os.pread(handle, len(want), page * PAGE) != want:
            sys.exit("page %d of the file is wrong" % page)
    print("all is as it was written", flush=True)


main()
