#!/usr/bin/python3
"""Writes the seeds of the model room's fuzz targets, built by scapy, into tests/fuzz/corpus/.

They are in the tree; run this only to add to them. usage: make_model_seeds.py
"""
import pathlib
import struct

from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, IPv6, Raw

CORPUS = pathlib.Path(__file__).parent / "corpus"
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


def frame(way, network, transport, payload=b""):
    ether = Ether(src=MACS[way], dst=MACS[1 - way])
    return bytes(ether / network(way) / transport / Raw(payload))


def v4(way):
    ends = ("192.0.2.1", "198.51.100.2")
    return IP(src=ends[way], dst=ends[1 - way], ttl=60, flags="DF")


def v6(way):
    ends = ("2001:db8::a", "2001:db8::b")
    return IPv6(src=ends[way], dst=ends[1 - way])


def tcp(way, flags, seq, ack=0, **more):
    ports = (40000, 80)
    return TCP(sport=ports[way], dport=ports[1 - way], flags=flags, seq=seq, ack=ack, **more)


def conversation(network, *ends):
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    opening = [frame(0, network, tcp(0, "S", 99, options=options)),
               frame(1, network, tcp(1, "SA", 499, 100, options=options)),
               frame(0, network, tcp(0, "A", 100, 500)),
               frame(0, network, tcp(0, "PA", 100, 500), b"question"),
               frame(1, network, tcp(1, "PA", 500, 108), b"answer")]
    return opening + [frame(way, network, segment) for way, segment in ends]


SEQUENCES = {
    "a_closes": conversation(v4, (0, tcp(0, "FA", 108, 506)), (1, tcp(1, "A", 506, 109)),
                             (1, tcp(1, "FA", 506, 109)), (0, tcp(0, "A", 109, 507))),
    "b_resets": conversation(v6, (1, tcp(1, "R", 506))),
    "repeated": conversation(v4, (0, tcp(0, "A", 100, 500)), (1, tcp(1, "SA", 499, 100))),
    "refused": [frame(0, v4, tcp(0, "S", 99)), frame(1, v4, tcp(1, "RA", 0, 100))],
    "simultaneous": [frame(0, v4, tcp(0, "S", 99)), frame(1, v4, tcp(1, "S", 499)),
                     frame(0, v4, tcp(0, "SA", 99, 500)), frame(1, v4, tcp(1, "SA", 499, 100))],
    "middle": conversation(v4)[3:],
    "wrap": [frame(0, v4, tcp(0, "S", 0xFFFFFFFF)), frame(1, v4, tcp(1, "SA", 0xFFFFFFFF, 0)),
             frame(0, v4, tcp(0, "A", 0, 0), b"x" * 20)],
    "udp": [frame(0, v4, UDP(sport=1, dport=2), b"u"), frame(1, v4, UDP(sport=2, dport=1), b"u")],
    "echo": [frame(0, v4, ICMP(type=8, id=7, seq=1), b"e"),
             frame(1, v4, ICMP(type=0, id=7, seq=1), b"e")],
    "arp": [bytes(Ether(src=MACS[0]) / ARP(op=1, hwsrc=MACS[0], psrc="192.0.2.1", pdst="192.0.2.2")),
            bytes(Ether(src=MACS[1], dst=MACS[0]) /
                  ARP(op=2, hwsrc=MACS[1], psrc="192.0.2.2", hwdst=MACS[0], pdst="192.0.2.1"))],
}


def state(version, facts_a, facts_b, scale=7, tags=0):
    """A serialised TcpModel; the format is told in vtl/model/tcp_serialise.cc."""
    ip = struct.pack("!B16s16sIIBBBB", version, b"\xc0\0\2\1", b"\xc6\x33\x64\2", 7, 8, 64, 57, 1, 1)
    ethernet = bytes.fromhex("020000000001020000000002" * 2) + struct.pack("!HHB", 7, 0, tags)
    ends = [struct.pack("!IIIIHHHBB", nxt, ack, limit, 1, 500, 1460, port, scale, facts)
            for nxt, ack, limit, port, facts in ((100, 500, 64500, 40000, facts_a),
                                                 (500, 100, 64100, 80, facts_b))]
    return b"\1" + ip + ethernet + b"".join(ends)


STATES = {"established": state(4, 0xC7, 0xC7), "v6": state(6, 0xC7, 0xC7), "closing": state(4, 0xCF, 0xEF),
          "unscaled": state(4, 0x07, 0x07, 0xFF), "unknown": state(4, 0x07, 0x07, 0xFE),
          "tagged": state(4, 0xC7, 0xC7, 7, 6), "reset": state(4, 0xD7, 0xC7), "new": state(4, 0, 0)}


# tcp_traffic: steps from where the ends stand (tests/fuzz/model/tcp_traffic_fuzz.cc).
ZERO, SYN, FIN, RST, PSH, ACK = 64, 0x02, 0x01, 0x04, 0x08, 0x10
OPTIONS = bytes([15, 5, 180, 7, 0, 0, 0, 1, 0, 0, 0, 0])


def say(way, flags, size=0, seq=0, ack=0, options=b"\0", counts=True):
    what = way | (0 if counts else 4) | (8 if size else 0)
    return (bytes([what, ZERO + seq, flags, ZERO + ack, 0xFF, 0xFF]) + options
            + (bytes([size]) if size else b""))


def make(way, size=0, fin=False, how=0):
    return bytes([0x70 | way | (2 if fin else 0), how | (8 if size else 0)]) + (bytes([size]) if size else b"")


def begun(first=0, second=0, options=OPTIONS):
    return (bytes([first, second]) + say(0, SYN, options=options) + say(1, SYN | ACK, options=options)
            + say(0, ACK))


TRAFFIC = {
    "closes": begun() + say(0, FIN | ACK) + say(1, ACK) + say(1, FIN | ACK) + say(0, ACK),
    "at_2_31": begun(5, 5) + say(0, ACK | PSH, 200) + say(1, ACK | PSH, 200) * 3 + say(0, ACK),
    "at_2_32": begun(6, 130) + say(0, ACK | PSH, 200) * 3 + say(1, ACK) + say(1, FIN | ACK),
    "both_close": begun() + say(0, FIN | ACK) + say(1, FIN | ACK, ack=-1) + say(0, ACK) + say(1, ACK),
    "simultaneous": bytes([0, 0]) + say(0, SYN) + say(1, SYN) + say(0, SYN | ACK, seq=-1)
    + say(1, SYN | ACK, seq=-1),
    "refused": bytes([128, 0]) + say(0, SYN) + say(1, RST | ACK),
    "reset": begun() + say(1, RST) + say(0, ACK),
    "blind": begun() + say(1, RST, seq=40, counts=False) + say(0, ACK, ack=50, counts=False) + say(1, ACK),
    "middle": bytes([6, 5]) + say(1, ACK | PSH, 100) + say(0, ACK) + say(0, FIN | ACK),
    "again": begun() + say(0, FIN | ACK) + say(1, FIN | ACK) + say(0, ACK) + say(0, SYN, seq=50),
    "wrong_answer": bytes([0, 0]) + say(0, SYN) + say(1, SYN | ACK, ack=-1, counts=False)
    + say(1, ACK, counts=False) + say(1, SYN | ACK),
    "speaks": begun() + make(0, 50) + say(1, ACK) + make(1, 20, how=4) + make(0, fin=True) + make(1, how=20),
    "by_hand": bytes([0, 64, 1, 255, 255, 0x77, 0, 0, 0, 9, 255, 255, 0x77, 0, 0, 0, 9]) + make(0, 90)
    + say(1, ACK) + make(1, fin=True),
    "made_from_nothing": bytes([6, 66, 0, 255, 255, 0x77, 0, 0, 0, 9, 255, 255, 0x77, 0, 0, 0, 9])
    + make(0, how=1) + make(1, how=5) + make(0, 10),
}


def main():
    for target, seeds in (("model_frames", {k: b"".join(struct.pack("!H", len(f)) + f for f in v)
                                            for k, v in SEQUENCES.items()}),
                          ("model_tcp_state", STATES), ("model_tcp_traffic", TRAFFIC)):
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
