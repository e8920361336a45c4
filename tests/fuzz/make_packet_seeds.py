#!/usr/bin/python3
"""Makes the seeds of the packet and iface fuzz targets, with scapy. Run it when a target's input changes."""
import pathlib
import struct

from scapy.all import (AH, ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, IPv6,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, Raw, PcapNgWriter, PcapWriter)

CORPUS = pathlib.Path(__file__).parent / "corpus"
E = Ether(src="02:00:5e:00:53:01", dst="02:00:5e:00:53:02")
V4 = IP(src="192.0.2.1", dst="198.51.100.2")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
FRAMES = {
    "tcp4": E / V4 / TCP(sport=4000, dport=80, flags="PA", options=[("Timestamp", (1, 2))]) / Raw(b"x" * 300),
    "tcp6_options": E / V6 / IPv6ExtHdrDestOpt() / TCP(flags="FPA") / Raw(b"y" * 300),
    "udp4_tagged": E / Dot1Q(vlan=5) / Dot1Q(vlan=7) / V4 / UDP(sport=53, dport=1) / Raw(b"z" * 40),
    "udp6": E / V6 / UDP(dport=547) / Raw(b"z" * 40),
    "fragment6": E / V6 / IPv6ExtHdrFragment(m=1) / UDP() / Raw(b"z" * 40),
    "fragment4": E / IP(src="192.0.2.1", dst="198.51.100.2", flags="MF") / UDP() / Raw(b"z" * 40),
    "authentication": E / V4 / AH(nh=6) / TCP(),
    "echo4": E / V4 / ICMP() / Raw(b"ping"),
    "echo6": E / V6 / ICMPv6EchoRequest(data=b"ping"),
    "arp": E / ARP(psrc="192.0.2.1", pdst="192.0.2.9"),
}


def metadata(name):
    """Partial checksum and segments of 100 octets for the kind of the frame."""
    tags = 8 if "tagged" in name else 0
    start = 14 + tags + (40 if "6" in name else 20)
    kind = {"tcp4": 1, "tcp6": 2, "udp4": 3, "udp6": 3}.get(name[:4], 0)
    return struct.pack("!BBHHHI", 1, kind, start, 16 if "tcp" in name else 6, 100, 0)


def vnet_header(name):
    """The virtio header (host byte order) of the frame as a super-frame, and no VLAN tag restored."""
    _, kind, start, offset, segment, _ = struct.unpack("!BBHHHI", metadata(name))
    gso = {1: 1, 2: 4, 3: 5}.get(kind, 0)
    return struct.pack("=BBHHHHB", 1, gso, start + 20, segment if gso else 0, start, offset, 0)


def qemu_stream(names):
    """Pieces of 50 octets of a stream in which each frame follows its length."""
    octets = [bytes(FRAMES[name]) for name in names]
    return b"\x32" + b"".join(struct.pack("!I", len(o)) + o for o in octets)


def main():
    for target in ("packet_layout", "packet_access", "iface_pcap_file", "iface_vnet_header", "iface_qemu"):
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for name, frame in FRAMES.items():
        octets = bytes(frame)
        (CORPUS / "packet_layout" / name).write_bytes(b"\0" + octets)
        (CORPUS / "packet_access" / name).write_bytes(metadata(name) + octets)
        (CORPUS / "iface_vnet_header" / name).write_bytes(vnet_header(name) + octets)
        (CORPUS / "iface_vnet_header" / (name + "_plain")).write_bytes(bytes(11) + octets)
        (CORPUS / "packet_access" / (name + "_complete")).write_bytes(bytes(12) + octets)
    every = qemu_stream(FRAMES)
    for name, stream in (("frames", every), ("whole", b"\0" + every[1:]), ("half", every[:-30]),
                         ("empty_frame", qemu_stream(["arp"]) + bytes(4)),
                         ("too_long", qemu_stream(["arp"]) + b"\xff\xff\xff\xff" + every[1:])):
        (CORPUS / "iface_qemu" / name).write_bytes(stream)
    for kind, writer in (("pcap", PcapWriter), ("pcapng", PcapNgWriter)):
        out = writer(str(CORPUS / "iface_pcap_file" / kind))
        for name in ("tcp4", "udp6", "arp"):
            out.write(FRAMES[name])
        out.close()


if __name__ == "__main__":
    main()
