#!/usr/bin/python3
"""Writes the seeds of the service room's fuzz targets, built by scapy, into tests/fuzz/corpus/.

They are in the tree; run this only to add to them. usage: make_service_seeds.py
"""
import pathlib
import struct

from scapy.all import (ARP, BOOTP, DHCP, DNS, DNSQR, DNSRROPT, ICMP, IP, UDP, Dot1Q, Ether, ICMPv6EchoRequest,
                       ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr,
                       ICMPv6NDOptSrcLLAddr, IPv6)

CORPUS = pathlib.Path(__file__).parent / "corpus"


def query(name, kind="A", **fields):
    return DNS(id=7, rd=1, qd=DNSQR(qname=name, qtype=kind), **fields)


# What the first octet says: see service/dns_fuzz.cc.
RESOLVE, IPV6, DENIED, ONE_NAME = 1, 2, 4, 8
DNSES = {
    "a": (0, query("www.example.com")),
    "a_denied": (DENIED, query("www.example.org")),
    "a_no_room": (0x80, query("www.example.com", ar=DNSRROPT(rclass=4096))),
    "a_spent": (ONE_NAME, query("www.example.com")),
    "a_resolve": (RESOLVE, query("www.example.com")),
    "aaaa": (IPV6, query("www.example.com", "AAAA")),
    "aaaa_resolve": (RESOLVE | IPV6, query("www.example.com", "AAAA", ar=DNSRROPT(rclass=1232))),
    "any": (0, query("www.example.com", "ALL")),
    "bad_version": (0, query("www.example.com", ar=DNSRROPT(version=1))),
    "chaos": (0, DNS(qd=DNSQR(qname="version.bind", qtype="TXT", qclass="CH"))),
    "https": (0, query("www.example.com", "HTTPS")),
    "localhost": (IPV6, query("a.localhost", "AAAA")),
    "nat64": (0, query("ipv4only.arpa")),
    "number": (0, query("127.0.0.1")),
    "onion": (RESOLVE, query("abc.onion")),
    "ptr": (0, query("1.0.18.198.in-addr.arpa", "PTR")),
    "ptr6": (IPV6, query("1." + "0." * 23 + "1.0.0.0.a.5.d.f.ip6.arpa", "PTR")),
    "ptr_resolve": (RESOLVE, query("1.1.1.1.in-addr.arpa", "PTR")),
    "response": (0, query("www.example.com", qr=1)),
    "transfer": (0, query("example.com", "AXFR")),
    "update": (0, query("example.com", opcode=5)),
}


def dhcp(kind, options=(), client=0, seconds=0, **fields):
    """One message as service/dhcp_fuzz.cc reads it: of another client, so many seconds squared later."""
    message = bytes(BOOTP(chaddr=bytes.fromhex("020000000001"), xid=0xCAFE, **fields) /
                    DHCP(options=[("message-type", kind), *options, "end"]))
    return struct.pack("!BBH", seconds, client, len(message)) + message


SERVER = ("server_id", "10.137.0.1")
WANTED = ("requested_addr", "10.137.0.2")
LEASE = dhcp("discover") + dhcp("request", [SERVER, WANTED])
DHCPS = {
    "lease": LEASE,
    "lease_two": LEASE + dhcp("discover", [WANTED], client=1),
    "renew": LEASE + dhcp("request", ciaddr="10.137.0.2", seconds=40),
    "reboot": LEASE + dhcp("request", [WANTED], seconds=70),
    "reboot_other": LEASE + dhcp("request", [WANTED], client=1),
    "release": LEASE + dhcp("release", [SERVER], ciaddr="10.137.0.2") + dhcp("discover", client=2),
    "decline": LEASE + dhcp("decline", [SERVER, WANTED]) + dhcp("discover"),
    "inform": dhcp("inform", ciaddr="10.137.0.9"),
    "other_server": dhcp("discover") + dhcp("request", [("server_id", "10.137.0.9"), WANTED]),
    "client_id": dhcp("discover", [("client_id", b"\xff123")]) + dhcp("discover", [("client_id", b"\xff124")]),
    "relayed": dhcp("discover", giaddr="10.0.0.1"),
    "many": b"".join(dhcp("discover", client=n) for n in range(12)),
}

GUEST = "02:00:00:00:00:11"
ALL = Ether(src=GUEST, dst="ff:ff:ff:ff:ff:ff")
US = Ether(src=GUEST, dst="02:00:00:00:00:01")
GROUP = IPv6(src="fd5a:1::5", dst="ff02::1:ff00:1", hlim=255)
LINK = ICMPv6NDOptSrcLLAddr(lladdr=GUEST)
FRAMES = {
    "arp": ALL / ARP(hwsrc=GUEST, psrc="10.137.0.2", pdst="10.137.0.1"),
    "arp_probe": ALL / ARP(hwsrc=GUEST, psrc="0.0.0.0", pdst="10.137.0.2"),
    "arp_ours": ALL / Dot1Q(vlan=5) / ARP(hwsrc=GUEST, psrc="198.18.0.9", pdst="198.18.0.9"),
    "arp_reply": ALL / ARP(op=2, hwsrc=GUEST, psrc="10.137.0.2", pdst="10.137.0.2"),
    "ns": US / Dot1Q(vlan=5) / GROUP / ICMPv6ND_NS(tgt="fe80::1") / LINK,
    "ns_detection": US / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt="fe80::1"),
    "na": US / GROUP / ICMPv6ND_NA(tgt="fd5a:1::5") / ICMPv6NDOptDstLLAddr(lladdr=GUEST),
    "rs": US / Dot1Q(vlan=5) / Dot1Q(vlan=7) / GROUP / ICMPv6ND_RS() / LINK,
    "echo": US / Dot1Q(vlan=5) / IP(src="10.137.0.2", dst="1.1.1.1") / ICMP() / b"ping",
    "echo6": US / IPv6(src="fd5a:1::5", dst="2606::1") / ICMPv6EchoRequest(data=b"ping"),
    "dhcp": ALL / Dot1Q(vlan=5) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) /
            LEASE[4:304],
}


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    for name, (flags, message) in DNSES.items():
        write("service_dns", name, bytes([flags]) + bytes(message))
    for name, messages in DHCPS.items():
        write("service_dhcp", name, messages)
    for name, frame in FRAMES.items():
        write("service_answers", name, b"\1" + bytes(frame))


if __name__ == "__main__":
    main()
