#!/usr/bin/python3
"""Writes the seeds of the wire room's fuzz targets, built by scapy, into tests/fuzz/corpus/.

They are in the tree; run this only to add to them. usage: make_wire_seeds.py
"""
import pathlib

from scapy.all import (AH, ARP, BOOTP, DHCP, DNS, DNSQR, DNSRR, DNSRROPT, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6DestUnreach,
                       ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo,
                       ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, Raw, RouterAlert, IPOption_NOP, IPOption_Router_Alert, dns_compress,
                       ICMPv6NDOptRDNSS)

CORPUS = pathlib.Path(__file__).parent / "corpus"
V4 = dict(src="192.0.2.1", dst="198.51.100.2")
V6 = dict(src="2001:db8::1", dst="2001:db8::2")
MAC = dict(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")

TCPS = {
    "syn": TCP(flags="S", options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)),
                                   ("NOP", None), ("WScale", 7)]),
    "ack": TCP(flags="A", options=[("NOP", None), ("NOP", None), ("Timestamp", (5, 6))]),
    "sack": TCP(flags="A", options=[("NOP", None), ("NOP", None), ("SAck", (1, 2, 3, 4))]),
    "data": TCP(flags="PA", seq=1, ack=2) / Raw(b"hello"),
    "fin": TCP(flags="FA", seq=1, ack=2, window=0),
    "rst": TCP(flags="R", urgptr=3),
    "unknown": TCP(flags="S", options=[(254, b"\xab\xcd"), ("EOL", None)]),
}
UDPS = {"dns": UDP(sport=4000, dport=53) / Raw(b"x" * 20), "empty": UDP(sport=1, dport=2)}
QUOTED4 = IP(**V4) / UDP(sport=4000, dport=53)
QUOTED6 = IPv6(**V6) / UDP(sport=4000, dport=53)
ICMP4 = {
    "echo": ICMP(id=7, seq=1) / Raw(b"ping"),
    "too_big": ICMP(type=3, code=4, nexthopmtu=1400) / QUOTED4,
    "port": ICMP(type=3, code=3) / QUOTED4,
    "expired": ICMP(type=11) / IP(**V4) / TCP(sport=1, dport=2),
}
ICMP6 = {
    "echo": ICMPv6EchoRequest(id=7, seq=1, data=b"ping"),
    "too_big": ICMPv6PacketTooBig(mtu=1280) / QUOTED6,
    "port": ICMPv6DestUnreach(code=4) / QUOTED6,
    "expired": ICMPv6TimeExceeded() / IPv6(**V6) / IPv6ExtHdrDestOpt() / TCP(),
    "ns": ICMPv6ND_NS(tgt="fe80::1") / ICMPv6NDOptSrcLLAddr(lladdr=MAC["src"]),
    "na": ICMPv6ND_NA(tgt="fe80::1", S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC["src"]),
    "ra": ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64) /
          ICMPv6NDOptMTU(mtu=1500) / ICMPv6NDOptSrcLLAddr(lladdr=MAC["src"]) /
          ICMPv6NDOptRDNSS(dns=["2001:db8::53", "2001:db8::54"], lifetime=600),
}
ANSWER = DNS(id=7, qr=1, rd=1, qd=DNSQR(qname="www.example.org"), an=(
    DNSRR(rrname="www.example.org", type="CNAME", rdata="cdn.example.org") /
    DNSRR(rrname="cdn.example.org", rdata="192.0.2.7")))
DNSES = {
    "query": DNS(rd=1, qd=DNSQR(qname="www.example.org", qtype="AAAA"), ar=DNSRROPT(rclass=1232)),
    "reverse": DNS(rd=1, qd=DNSQR(qname="1.2.0.192.in-addr.arpa", qtype="PTR")),
    "answer": ANSWER,
    "compressed": dns_compress(IP() / UDP() / ANSWER)[DNS],
    "none": DNS(qr=1, rcode=3, qd=DNSQR(qname=".")),
}
HARDWARE = dict(chaddr=bytes.fromhex("020000000001"), xid=0xCAFE)
DHCPS = {
    "discover": BOOTP(flags="B", **HARDWARE) / DHCP(options=[
        ("message-type", "discover"), ("param_req_list", [1, 3, 6]), "end"]),
    "request": BOOTP(**HARDWARE) / DHCP(options=[
        ("message-type", "request"), ("requested_addr", "10.0.0.9"), ("server_id", "10.0.0.1"),
        ("client_id", b"\x01abcdef"), "end"]),
    "ack": BOOTP(op=2, yiaddr="10.0.0.9", **HARDWARE) / DHCP(options=[
        ("message-type", "ack"), ("lease_time", 600), ("subnet_mask", "255.255.255.0"),
        ("router", "10.0.0.1"), ("name_server", "10.0.0.2", "10.0.0.3"), "pad", "end"]),
}
IP4 = {
    "plain": IP(**V4) / UDPS["dns"],
    "options": IP(**V4, options=[IPOption_Router_Alert(), IPOption_NOP()]) / UDPS["empty"],
    "first": IP(**V4, flags="MF") / Raw(b"y" * 16),
    "later": IP(**V4, frag=2, proto=6) / Raw(b"y" * 16),
    "ecn": IP(**V4, tos=0x2b, flags="DF") / TCPS["data"],
    "super": IP(**V4, len=0) / TCP() / Raw(b"z" * 60),
}
IP6 = {
    "plain": IPv6(**V6, tc=0x2b, fl=0xabcde) / UDPS["dns"],
    "chain": IPv6(**V6) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / IPv6ExtHdrDestOpt() /
             IPv6ExtHdrRouting(addresses=["2001:db8::3"]) / TCPS["data"],
    "first": IPv6(**V6) / IPv6ExtHdrFragment(m=1, id=9) / UDPS["dns"],
    "later": IPv6(**V6) / IPv6ExtHdrFragment(offset=5, id=9) / Raw(b"y" * 16),
    "ah": IPv6(**V6) / AH(nh=6, payloadlen=4, icv=b"\0" * 12) / TCPS["ack"],
    "mobility": IPv6(**V6, nh=135) / Raw(b"\x3b\0" + b"\0" * 6),
    "super": IPv6(**V6, plen=0) / TCP() / Raw(b"z" * 60),
}
ARPS = {"request": ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.2", hwsrc=MAC["src"]),
        "reply": ARP(op=2, psrc="192.0.2.2", pdst="192.0.2.1", hwsrc=MAC["dst"])}
LINKS = {"plain": Ether(**MAC, type=0x88cc), "vlan": Ether(**MAC) / Dot1Q(vlan=7, prio=5, type=0x800),
         "qinq": Ether(**MAC, type=0x88a8) / Dot1AD(vlan=100, type=0x8100) / Dot1Q(vlan=7, type=0x86dd),
         "three": Ether(**MAC) / Dot1Q() / Dot1Q() / Dot1Q(type=0x800)}
TEXTS = ["02:00:5e:10:00:01", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::", "[::1]:80",
         "192.0.2.1:65535", "1:2:3:4:5:6:7:8", "fe80::1%eth0", "256.1.1.1"]


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    for name, layer in TCPS.items():
        write("wire_tcp", name, bytes((IP(**V4) / layer)[TCP]))
    for name, layer in UDPS.items():
        write("wire_udp", name, bytes((IP(**V4) / layer)[UDP]))
    for name, layer in ICMP4.items():
        write("wire_icmp", "v4_" + name, bytes(layer))
    for name, layer in ICMP6.items():
        write("wire_icmp", "v6_" + name, bytes((IPv6(**V6) / layer))[40:])
    for name, layer in ARPS.items():
        write("wire_arp", name, bytes(layer))
    for name, layer in LINKS.items():
        write("wire_ethernet", name, bytes(layer))
    for name, layer in IP4.items():
        write("wire_ipv4", name, bytes(layer))
    for name, layer in IP6.items():
        write("wire_ipv6", name, bytes(layer))
    frames = {**{"v4_" + k: Ether(**MAC) / v for k, v in IP4.items()},
              **{"v6_" + k: Ether(**MAC) / v for k, v in IP6.items()},
              **{"arp_" + k: Ether(**MAC) / v for k, v in ARPS.items()},
              **{"icmp_" + k: Ether(**MAC) / IP(**V4) / v for k, v in ICMP4.items()},
              **{"icmp6_" + k: Ether(**MAC) / IPv6(**V6) / v for k, v in ICMP6.items()},
              **{"tcp_" + k: Ether(**MAC) / Dot1Q(vlan=7) / IP(**V4) / v for k, v in TCPS.items()}}
    for name, frame in frames.items():
        write("wire_frame", name, bytes(frame))
    for folder, messages in (("wire_dns", DNSES), ("wire_dhcpv4", DHCPS)):
        for name, message in messages.items():
            write(folder, name, bytes(message))
    for number, text in enumerate(TEXTS):
        write("wire_text", f"text{number}", text.encode())


if __name__ == "__main__":
    main()
