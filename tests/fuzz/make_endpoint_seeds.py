#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets endpoint_process and endpoint_pair: tests/fuzz/corpus/*.

The encodings are those of tests/fuzz/endpoint/process_fuzz.cc and pair_fuzz.cc. A seed is a short
story of a connection; the fuzzer changes it from there.
"""
import pathlib

ZERO = 32  # delta() of 0
SYN, FIN, RST, PSH, ACK, ECE, CWR = 0x02, 0x01, 0x04, 0x08, 0x10, 0x40, 0x80

# The octets of config_from(): offers, sizes, manner, times.
STAMPS, SCALE, NO_SACK = 1, 2, 4
PLAIN = bytes([0, 0, 0, 0])
FULL = bytes([STAMPS | SCALE, 0, 0, 0])


def settings(offers=0, sizes=0, manner=0, times=0):
    return bytes([offers, sizes, manner, times])


def header(flags, seq=ZERO, ack=ZERO, window=60000, options=b"\0"):
    return bytes([seq, ack, flags, window >> 8, window & 255]) + options


def segment(flags, size=0, count=True, ce=False, **kw):
    return (bytes([31]) + header(flags, **kw) + bytes([0, size]) + bytes([0])
            + bytes([ce + (0 if count else 254)]))


def word(action, n):
    return bytes([action, n >> 8, n & 255])


def advance(ms):
    return word(0, ms)


def write(n):
    return word(4, n)


def read(n):
    return word(6, n)


def wake(n=1):
    return bytes([3, n - 1])


def deliver(first, count=1):
    return bytes([20, first, count - 1])


def drop(first, count=1):
    return bytes([22, first, count - 1])


def answer(how=0, more=b""):
    return bytes([24, how]) + more


def seconds(n):
    return bytes([2, n])


def days(n):
    return bytes([2, 127 + n])


ALL = bytes([26, 0])  # all arrives and is acknowledged
COPY = bytes([23, 0])
SHUTDOWN, ABORT = bytes([7, 0]), bytes([8, 0])
ACCEPT, REFUSE = bytes([9, 0, 0]), bytes([10, 0])
LAZY, RENEGE = bytes([15]), bytes([17])
MSS_SCALED = bytes([3, 5, 180, 7])  # MSS 1460, scale 7
STAMPED = bytes([15, 5, 180, 7, ZERO, ZERO])  # and SACK
SACK = bytes([11, 5, 180, 7])


def passive(config=FULL, how=0, options=STAMPED):
    return config + bytes([how]) + header(SYN, options=options) + answer()


def active(config=FULL, offers=0xde, how=1):
    return config + bytes([how]) + bytes([27, offers])


def lossy(n=10):
    """The second of many is lost; the others come one by one and tell."""
    return write(20000) + advance(10) + ALL + write(30000) + drop(1) + (deliver(0) + answer()) * n


STORIES = {
    "data_both_ways": passive() + answer(64, word(1, 100)[1:]) + write(3000) + ALL + read(300),
    "close": passive() + SHUTDOWN + ALL + segment(FIN | ACK) + advance(60000),
    "close_wait": passive() + segment(FIN | ACK) + write(100) + SHUTDOWN + ALL,
    "both_close": passive() + SHUTDOWN + segment(FIN | ACK, ack=31) + ALL,
    "reset": passive() + segment(RST),
    "challenge": passive() + segment(RST, seq=40) + segment(SYN, seq=40),
    "gap": passive() + segment(ACK, 50, count=False, seq=82) + segment(ACK, 50) + read(100),
    "gaps": passive(PLAIN, 0, SACK)
    + b"".join(segment(ACK, 9, count=False, seq=40 + 10 * i) for i in range(8)) + segment(ACK, 90),
    "timeout": passive() + write(5000) + wake(4) + ALL,
    "needless_timeout": passive() + write(9000) + wake(5) + ALL + write(5000) + ALL,
    "copies": passive() + write(9000) + COPY + COPY + answer() + answer() + ALL,
    "sack": passive() + lossy() + ALL,
    "sack_no_stamps": passive(PLAIN, 0, SACK) + lossy() + ALL,
    "no_sack": passive(settings(NO_SACK | SCALE), 0, MSS_SCALED) + lossy() + ALL + write(9000) + ALL,
    "newreno": passive(settings(STAMPS, 0, 32)) + lossy() + ALL,
    "reordered": passive() + write(30000) + (deliver(3) + answer() + deliver(0) + answer()) * 4 + ALL,
    "lost_again": passive() + lossy(6) + drop(0, 8) + wake(6) + ALL,
    "renege": passive() + lossy(6) + RENEGE + wake(6) + ALL,
    "tail_lost": passive() + write(9000) + deliver(0, 4) + answer() + drop(0, 8) + wake(2) + ALL,
    "zero_window": passive() + write(100) + deliver(0, 8) + answer(32, b"\0\0") + write(5000)
    + wake(5) + answer(32, b"\xea\x60") + ALL,
    "small_window": passive() + write(9000) + deliver(0, 8) + answer(32, b"\0\x64") + wake(3)
    + answer(32, b"\xea\x60") + ALL,
    "shrunk_window": passive() + write(30000) + deliver(0) + answer(32, b"\0\0") + wake(3)
    + answer(32, b"\xea\x60") + ALL,
    "ecn": passive(settings(STAMPS | SCALE), ECE | CWR) + write(20000) + ALL
    + answer(4, bytes([ACK | ECE])) + write(9000) + segment(ACK, 100, ce=True) + ALL,
    "held": PLAIN + bytes([2]) + header(SYN) + advance(500) + ACCEPT + segment(ACK),
    "held_anew": PLAIN + bytes([2]) + header(SYN) + segment(SYN, seq=80) + ACCEPT + answer(),
    "refused": PLAIN + bytes([2]) + header(SYN) + REFUSE,
    "active": active() + write(1000) + ALL,
    "active_refused": FULL + bytes([1]) + segment(RST | ACK, ack=ZERO),
    "simultaneous": FULL + bytes([1]) + segment(SYN, options=MSS_SCALED)
    + segment(SYN | ACK, options=MSS_SCALED, seq=31) + write(10) + ALL,
    "simultaneous_scaled": FULL + bytes([1]) + segment(SYN, options=MSS_SCALED)
    + segment(SYN | ACK, options=MSS_SCALED, seq=31, window=1280) + write(9000) + ALL,
    "syn_lost": FULL + bytes([1]) + wake(3) + bytes([27, 0xde]) + write(9000) + ALL,
    "stalled_reader": passive(settings(0, 1), 0, b"\0") + segment(ACK, 199) * 25 + read(4000)
    + segment(ACK, 100),
    "fast_reader": passive(settings(STAMPS | SCALE, 4 + 3))
    + (answer(64, b"\x30\x00") + read(20000) + advance(50)) * 6,
    "keep_alive": passive(settings(0, 0, 0, 1)) + wake(2) + answer() + wake(8) + wake(8),
    "abort": passive() + write(100) + ABORT,
    "path_mtu": passive() + write(9000) + bytes([12, 2, 0, 0]) + ALL + write(9000)
    + bytes([12, 1, 0, 0]) + wake(3) + ALL,
    "known_mtu": passive() + write(5000) + bytes([11, 1, 0]) + ALL,
    "no_room": passive() + bytes([14, 3]) + write(5000) + ALL,
    "pool": passive(settings(STAMPS | SCALE, 0, 64)) + bytes([16, 0x91]) + write(60000)
    + answer(64, b"\x40\x00") + bytes([16, 0]) + write(60000) + answer(64, b"\x20\x00") + ALL,
    "old_stamps": passive() + days(30) + answer(8, bytes([0, ZERO])) + answer(8, bytes([0, ZERO])),
    "time_wait": passive() + SHUTDOWN + ALL + segment(FIN | ACK)
    + bytes([18]) + header(SYN, seq=90) + segment(FIN | ACK, seq=31),
    "nagle": passive(settings(STAMPS, 0, 16)) + write(100) + write(100) + ALL + write(2000) + ALL,
    "late_call": passive() + LAZY + write(2000) + LAZY + seconds(3) + ALL,
    "no_super_frames": passive(settings(STAMPS | SCALE, 0, 4)) + lossy() + ALL,
    "many_holes": passive(settings(STAMPS | SCALE, 0x30), 0, bytes([15, 0, 48, 7, ZERO, ZERO]))
    + (write(60000) + ALL) * 9 + write(60000) + bytes([28, 0]) + wake(3) + bytes([28, 1]) + ALL,
    "many_crumbs": passive(settings(STAMPS | SCALE, 3)) + bytes([29, 150, 8, 0]) + bytes([29, 150, 8, 255])
    + answer(64, b"\x40\0") + read(60000),
    "echo": passive(how=16) + answer(64, b"\x30\0") + write(60000) + ALL
    + answer(64, b"\x40\0") + write(9) + ALL,
    "echo_from_a_pool": passive(settings(STAMPS | SCALE, 0, 64), 16) + bytes([16, 0x81])
    + (answer(64, b"\x40\0") + write(60000)) * 5 + ALL,
    "given_up": passive(settings(0, 0, 0, 2)) + write(3000) + wake(8),
}



def pair(a=FULL, b=FULL, how=0):
    return a + b + bytes([how])


def act(who, what, *more):
    return bytes([2 * what + who, *more])


def both(what, *more):
    return act(0, what, *more) + act(1, what, *more)


EXCHANGE = act(0, 14)
BULK = (act(0, 3, 0xea, 0x60) + EXCHANGE) * 4
POOLED = settings(STAMPS | SCALE, 0, 64)

PAIRS = {
    "both_speak": pair() + EXCHANGE * 2 + both(3, 0x20, 0) + EXCHANGE * 3 + both(5, 0),
    "both_open": pair(how=1) + EXCHANGE * 2 + both(3, 1, 0),
    "loss": pair() + EXCHANGE * 2 + BULK + act(0, 8, 1) + act(0, 8, 4) + EXCHANGE * 3,
    "loss_without_sack": pair(b=settings(NO_SACK)) + EXCHANGE * 2 + BULK + act(0, 8, 1) + EXCHANGE * 3,
    "reordered": pair() + EXCHANGE * 2 + BULK + act(0, 7, 5) + act(1, 6, 1) + EXCHANGE * 2,
    "copies": pair() + EXCHANGE * 2 + BULK + act(0, 10, 0) * 3 + EXCHANGE * 2,
    "all_lost": pair() + EXCHANGE * 2 + BULK + act(0, 9) + act(0, 2) * 4 + EXCHANGE,
    "late": pair() + EXCHANGE * 2 + BULK + act(0, 2) * 3 + EXCHANGE * 4,
    "marked": pair() + EXCHANGE * 2 + BULK + act(0, 11, 1) + EXCHANGE * 3,
    "path_shrinks": pair() + EXCHANGE * 2 + BULK + act(0, 12, 2, 0) + BULK + act(0, 2) * 3 + EXCHANGE,
    "refused": pair() + EXCHANGE * 2 + act(0, 13, 3) + BULK,
    "super_frames": pair(how=8) + EXCHANGE * 2 + BULK + act(0, 8, 0) + EXCHANGE * 3,
    "small_buffers": pair(settings(0, 0x11), settings(0, 0x11)) + EXCHANGE * 2 + BULK
    + act(1, 4, 16, 0) + EXCHANGE,
    "reader_stalls": pair(b=settings(3, 1)) + EXCHANGE * 2 + BULK + act(0, 2) * 5 + act(1, 4, 255, 0),
    "pools": pair(POOLED, POOLED) + EXCHANGE * 2 + BULK + both(3, 0xea, 0x60) + EXCHANGE * 4,
    "nagle": pair(settings(3, 0, 16)) + EXCHANGE * 2 + act(0, 3, 0, 9) * 3 + EXCHANGE,
    "keep_alive": pair(settings(3, 0, 0, 1)) + EXCHANGE * 2 + act(0, 2) * 3 + EXCHANGE,
    "echo": pair(how=16) + EXCHANGE * 2 + (BULK + act(1, 4, 255, 0)) * 2 + EXCHANGE,
    "echo_from_a_pool": pair(b=POOLED, how=16) + EXCHANGE * 2 + BULK + act(1, 4, 255, 0) + EXCHANGE,
    "holes": pair() + EXCHANGE * 2 + BULK * 2 + act(0, 15) + act(0, 15) + act(0, 2) * 3 + EXCHANGE,
    "half_closed": pair() + EXCHANGE * 2 + act(0, 5, 0) + EXCHANGE + act(1, 3, 9, 9) + EXCHANGE * 2,
}


def write_seeds(target, stories):
    folder = pathlib.Path(__file__).parent / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, story in stories.items():
        (folder / name).write_bytes(story)


if __name__ == "__main__":
    write_seeds("endpoint_process", STORIES)
    write_seeds("endpoint_pair", PAIRS)
