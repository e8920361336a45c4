#!/usr/bin/env python3
"""Writes the seeds of the endpoint_process fuzz target: tests/fuzz/corpus/endpoint_process/*.

The encoding is that of tests/fuzz/endpoint/process_fuzz.cc. A seed is a short story of a
connection; the fuzzer changes it from there.
"""
import pathlib

ZERO = 32  # delta() of 0
SYN, FIN, RST, PSH, ACK = 0x02, 0x01, 0x04, 0x08, 0x10


def header(flags, seq=ZERO, ack=ZERO, window=60000, options=b"\0"):
    return bytes([seq, ack, flags, window >> 8, window & 255]) + options


def segment(flags, size=0, count=True, **kw):
    return (bytes([15]) + header(flags, **kw) + bytes([0, size]) + bytes([0])
            + bytes([0 if count else 255]))


def advance(ms):
    return bytes([0, ms >> 8, ms & 255])


def write(n):
    return bytes([2, n >> 8, n & 255])


def read(n):
    return bytes([3, n >> 8, n & 255])


SHUTDOWN, ABORT, ACCEPT, REFUSE = bytes([4, 0]), bytes([5, 0]), bytes([6, 0, 0]), bytes([7, 0])
SCALED = bytes([3, 5, 180, 7])  # MSS 1460, scale 7
STAMPED = bytes([7, 5, 180, 7, 100, 32])


def passive(how=0, options=b"\0"):
    return bytes([how]) + header(SYN, options=options) + segment(ACK, ack=33)


STORIES = {
    "data_both_ways": passive() + segment(ACK | PSH, 100) + write(3000) + segment(ACK) + read(100),
    "close": passive() + SHUTDOWN + segment(ACK, ack=33) + segment(FIN | ACK) + advance(60000),
    "close_wait": passive() + segment(FIN | ACK) + write(100) + SHUTDOWN + segment(ACK, ack=33),
    "reset": passive() + segment(RST),
    "challenge": passive() + segment(RST, seq=40) + segment(SYN, seq=40),
    "gap": passive() + segment(ACK, 50, count=False, seq=82) + segment(ACK, 50) + read(100),
    "timeout": passive() + write(5000) + advance(1000) + advance(5000) + segment(ACK),
    "duplicates": passive() + write(20000) + segment(ACK, ack=129) * 5 + segment(ACK),
    "zero_window": passive() + write(100) + segment(ACK, window=0) + write(5000)
    + advance(1000) + advance(3000) + segment(ACK),
    "scaled": passive(4 | 32, SCALED) + write(30000) + segment(ACK, 200),
    "stamped": passive(2 | 4, STAMPED) + segment(ACK, 20, options=bytes([4, 110, 32])),
    "held": bytes([128]) + header(SYN) + advance(500) + ACCEPT + segment(ACK, ack=33),
    "refused": bytes([128]) + header(SYN) + REFUSE,
    "active": bytes([64]) + segment(SYN | ACK, ack=33, options=SCALED) + write(1000) + segment(ACK),
    "simultaneous": bytes([64]) + segment(SYN, options=SCALED) + segment(ACK, ack=33) + write(10),
    "stalled_reader": passive(1) + segment(ACK, 199) * 25 + read(4000) + segment(ACK, 100),
    "keep_alive": passive(16) + advance(6000) + advance(60000) + advance(60000),
    "abort": passive() + write(100) + ABORT,
    "path_mtu": passive() + write(5000) + bytes([8, 1, 0]) + segment(ACK),
    "no_room": passive() + bytes([10]) + write(5000) + segment(ACK),
}

if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "corpus" / "endpoint_process"
    folder.mkdir(parents=True, exist_ok=True)
    for name, story in STORIES.items():
        (folder / name).write_bytes(story)
