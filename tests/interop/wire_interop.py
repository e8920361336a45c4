#!/usr/bin/python3
"""The wire room against two independent oracles: scapy builds what VTL reads, tshark reads what VTL
builds. Compared field by field.

usage: wire_interop.py PROGRAM   (the program of wire_interop.cc)
"""
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from scapy.all import (ARP, BOOTP, DHCP, DNS, DNSQR, DNSRR, DNSRROPT, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6DestUnreach,
                       ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo,
                       ICMPv6NDOptRDNSS, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPOption_NOP,
                       IPOption_Router_Alert, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, RouterAlert, dns_compress, wrpcap)

PROGRAM = ""
MAC = dict(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = dict(src="192.0.2.1", dst="198.51.100.2")
V6 = dict(src="2001:db8::1", dst="2001:db8::2")


def links():
    return [lambda: Ether(**MAC), lambda: Ether(**MAC) / Dot1Q(vlan=7, prio=5),
            lambda: Ether(**MAC, type=0x88A8) / Dot1AD(vlan=100, prio=3) / Dot1Q(vlan=4094)]


def networks():
    """Pairs of a header and what VTL should say of it, for IPv4 and IPv6."""
    yield IP(**V4, ttl=3, id=77, flags="DF"), {}
    yield IP(**V4, tos=0x2B, options=[IPOption_Router_Alert(), IPOption_NOP()]), {}
    yield IPv6(**V6, tc=0x2B, fl=0x12345, hlim=9), {}
    yield IPv6(**V6) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / IPv6ExtHdrDestOpt(), {
        "ip.extensions": [0, 60]}
    yield IPv6(**V6) / IPv6ExtHdrRouting(type=2, addresses=["2001:db8::2"]) / IPv6ExtHdrFragment(
        id=99), {"ip.extensions": [43, 44], "ip.id": 99, "ip.frag": 0, "ip.mf": False}


def transports(rng):
    word = lambda: rng.getrandbits(32)  # noqa: E731
    ports = dict(sport=rng.randrange(1, 65536), dport=rng.randrange(1, 65536))
    common = dict(seq=word(), ack=word(), window=rng.randrange(65536), **ports)
    opts = [("MSS", 1400), ("SAckOK", b""), ("Timestamp", (word(), word())), ("NOP", None),
            ("WScale", 9)]
    ts = [("NOP", None), ("NOP", None), ("Timestamp", (word(), word()))]
    sack = [("NOP", None), ("NOP", None), ("SAck", (word(), word(), word(), word()))]
    yield TCP(flags="S", options=opts, **common)
    yield TCP(flags="SAEC", options=opts[:2], **common)
    yield TCP(flags="A", options=ts + sack, **common)
    yield TCP(flags="PAU", urgptr=5, options=ts, **common) / Raw(rng.randbytes(rng.randrange(1, 900)))
    yield TCP(flags="FA", **common) / Raw(b"x")
    yield TCP(flags="R", options=[(253, b"\x12\x34"), ("EOL", None)], **common)
    yield UDP(**ports) / Raw(rng.randbytes(rng.randrange(200)))
    yield UDP(**ports)


def icmps():
    quoted4 = IP(**V4) / UDP(sport=1, dport=2)
    yield IP(**V4) / ICMP(type=8, id=7, seq=1) / Raw(b"ping")
    yield IP(**V4) / ICMP(type=0, id=7, seq=1)
    yield IP(**V4) / ICMP(type=3, code=4, nexthopmtu=1400) / quoted4
    yield IP(**V4) / ICMP(type=11, code=1) / quoted4
    six = IPv6(**V6, hlim=255)
    quoted6 = IPv6(**V6) / UDP(sport=1, dport=2)
    yield six / ICMPv6EchoRequest(id=7, seq=2, data=b"ping")
    yield six / ICMPv6EchoReply(id=7, seq=2)
    yield six / ICMPv6PacketTooBig(mtu=1280) / quoted6
    yield six / ICMPv6DestUnreach(code=4) / quoted6
    yield six / ICMPv6ND_NS(tgt="fe80::1") / ICMPv6NDOptSrcLLAddr(lladdr=MAC["src"])
    yield six / ICMPv6ND_NA(tgt="fe80::1", R=1, S=1, O=0) / ICMPv6NDOptDstLLAddr(lladdr=MAC["src"])
    yield (six / ICMPv6ND_RA(routerlifetime=900, chlim=63) / ICMPv6NDOptMTU(mtu=1500) /
           ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64) /
           ICMPv6NDOptRDNSS(dns=["2001:db8::53", "2001:db8::54"], lifetime=600))


def applications():
    """UDP whose payload VTL reads too."""
    name = "www.Example.org"
    query = DNS(id=0x1234, rd=1, qd=DNSQR(qname=name, qtype="AAAA"), ar=DNSRROPT(rclass=1232))
    yield IP(**V4) / UDP(sport=4000, dport=53) / query
    answer = DNS(id=7, qr=1, rd=1, qd=DNSQR(qname=name), an=(
        DNSRR(rrname=name, type="CNAME", rdata="cdn.example.org") /
        DNSRR(rrname="cdn.example.org", rdata="192.0.2.7")))
    yield IP(**V4) / UDP(sport=53, dport=4000) / answer
    yield dns_compress(IP(**V4) / UDP(sport=53, dport=4000) / answer)
    yield IPv6(**V6) / UDP(sport=53, dport=4000) / DNS(qr=1, rcode=3, qd=DNSQR(qname="."))
    boot = BOOTP(chaddr=bytes.fromhex("020000000001"), xid=0xCAFE, flags="B")
    asks = [("message-type", "request"), ("requested_addr", "10.0.0.9"),
            ("server_id", "10.0.0.1"), ("param_req_list", [1, 3, 6]), "end"]
    yield IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / boot / DHCP(options=asks)
    gives = [("message-type", "ack"), ("lease_time", 600), ("subnet_mask", "255.255.255.0"),
             ("router", "10.0.0.1"), ("name_server", "10.0.0.2", "10.0.0.3"), "end", "pad"]
    boot = BOOTP(op=2, chaddr=bytes.fromhex("020000000001"), xid=0xCAFE, yiaddr="10.0.0.9")
    yield IP(**V4) / UDP(sport=67, dport=68) / boot / DHCP(options=gives)


def fragments():
    yield IP(**V4, id=5, flags="MF") / UDP(sport=1, dport=2, len=100, chksum=1) / Raw(b"y" * 92)
    yield IP(**V4, id=5, frag=185, proto=17) / Raw(b"y" * 40)
    yield IPv6(**V6) / IPv6ExtHdrFragment(id=6, offset=185, m=1, nh=6) / Raw(b"y" * 40)


EXTENSIONS = (IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment)


def expected_tcp(tcp, out):
    out.update({"tcp.sport": tcp.sport, "tcp.dport": tcp.dport, "tcp.seq": tcp.seq,
                "tcp.ack": tcp.ack, "tcp.flags": int(tcp.flags) & 0xFF, "tcp.window": tcp.window,
                "tcp.urgent": tcp.urgptr, "payload": bytes(tcp.payload).hex()})
    for name, value in tcp.options:
        if name == "MSS":
            out["tcp.mss"] = value
        elif name == "WScale":
            out["tcp.wscale"] = value
        elif name == "SAckOK":
            out["tcp.sackok"] = True
        elif name == "Timestamp":
            out["tcp.tsval"], out["tcp.tsecr"] = value
        elif name == "SAck":
            out["tcp.sack"] = list(value)


def expected_icmpv6(frame, out):
    message = next(layer for layer in (frame.getlayer(i) for i in range(20)) if layer is not None
                   and layer.name.startswith("ICMPv6") and hasattr(layer, "cksum"))
    out.update({"icmp.type": message.type, "icmp.code": message.code})
    if message.type in (128, 129):
        out.update({"icmp.id": message.id, "icmp.seq": message.seq, "payload": message.data.hex()})
    if message.type == 2:
        out["icmp.mtu"] = message.mtu
    if message.type in (135, 136):
        out["nd.target"] = message.tgt
        option = ICMPv6NDOptSrcLLAddr if message.type == 135 else ICMPv6NDOptDstLLAddr
        out["nd.link"] = frame[option].lladdr
    if message.type == 136:
        out["nd.flags"] = message.R * 4 + message.S * 2 + message.O
    if message.type == 134:
        info = frame[ICMPv6NDOptPrefixInfo]
        out.update({"ra.lifetime": message.routerlifetime, "ra.hoplimit": message.chlim,
                    "ra.mtu": frame[ICMPv6NDOptMTU].mtu,
                    "ra.prefix": f"{info.prefix}/{info.prefixlen}",
                    "ra.dns": frame[ICMPv6NDOptRDNSS].dns})


def plain_name(name):
    return name.decode().removesuffix(".") or "."


def expected_dns(dns, out):
    out.update({"dns.id": dns.id, "dns.response": bool(dns.qr), "dns.rd": bool(dns.rd),
                "dns.code": dns.rcode, "dns.name": plain_name(dns.qd.qname), "dns.type": dns.qd.qtype})
    for i in range(dns.ancount):
        record = dns.an[i]
        out.setdefault("dns.owners", []).append(plain_name(record.rrname))
        if record.type == 5:
            out.setdefault("dns.targets", []).append(plain_name(record.rdata))
        else:
            out.setdefault("dns.addresses", []).append(record.rdata)
    if dns.arcount:
        out.setdefault("dns.owners", []).append(plain_name(dns.ar.rrname))
        out["dns.payload"] = dns.ar.rclass


def expected_dhcp(frame, out):
    boot = frame[BOOTP]
    options = {option[0]: option[1] for option in frame[DHCP].options if isinstance(option, tuple)}
    out.update({"dhcp.type": options["message-type"], "dhcp.xid": boot.xid,
                "dhcp.broadcast": bool(boot.flags.B), "dhcp.yours": boot.yiaddr,
                "dhcp.hardware": ":".join(f"{b:02x}" for b in boot.chaddr[:6])})
    for theirs, ours in (("requested_addr", "requested"), ("server_id", "server"),
                         ("lease_time", "lease"), ("subnet_mask", "mask"), ("router", "router"),
                         ("name_server", "dns")):
        if theirs in options:
            out["dhcp." + ours] = options[theirs]


def expected_ip(frame, out):
    """What scapy reads in its own bytes, in VTL's words. Returns whether the packet is whole."""
    if IP in frame:
        ip = frame[IP]
        out.update({"ip.src": ip.src, "ip.dst": ip.dst, "ip.ttl": ip.ttl, "ip.id": ip.id,
                    "ip.tos": ip.tos, "ip.df": bool(ip.flags.DF), "ip.mf": bool(ip.flags.MF),
                    "ip.frag": ip.frag * 8, "ip.proto": ip.proto, "ip.checksum_ok": True,
                    "ip.options": bytes(ip)[20:ip.ihl * 4].hex()})
        return ip.frag == 0, not ip.flags.MF and ip.frag == 0
    ip = frame[IPv6]
    out.update({"ip.src": ip.src, "ip.dst": ip.dst, "ip.ttl": ip.hlim, "ip.tos": ip.tc,
                "ip.flow": ip.fl})
    last, layer, first, whole = ip.nh, ip.payload, True, True
    while isinstance(layer, EXTENSIONS):
        out.setdefault("ip.extensions", []).append(last)
        if isinstance(layer, IPv6ExtHdrFragment):
            out.update({"ip.id": layer.id, "ip.frag": layer.offset * 8, "ip.mf": bool(layer.m)})
            first, whole = layer.offset == 0, layer.offset == 0 and not layer.m
        last, layer = layer.nh, layer.payload
    out["ip.proto"] = last
    return first, whole


def expected(frame):
    ether = frame[Ether]
    tags = [layer for layer in (frame.getlayer(i) for i in range(1, 3))
            if isinstance(layer, (Dot1Q, Dot1AD))]
    out = {"eth.src": ether.src, "eth.dst": ether.dst, "eth.type": (tags[-1] if tags else ether).type}
    if tags:
        out["vlan"] = [tag.vlan for tag in tags]
        out["vlan.pcp"] = [tag.prio for tag in tags]
    if ARP in frame:
        arp = frame[ARP]
        out.update({"arp.op": arp.op, "arp.hwsrc": arp.hwsrc, "arp.psrc": arp.psrc,
                    "arp.hwdst": arp.hwdst, "arp.pdst": arp.pdst})
        return out
    first, whole = expected_ip(frame, out)
    if not first:
        return out
    if whole:
        out["checksum_ok"] = True
    proto = out["ip.proto"]
    if proto == 6:
        expected_tcp(frame[TCP], out)
    elif proto == 17:
        out.update({"udp.sport": frame[UDP].sport, "udp.dport": frame[UDP].dport,
                    "payload": bytes(frame[UDP].payload).hex()})
        if DNS in frame:
            expected_dns(frame[DNS], out)
        if DHCP in frame:
            expected_dhcp(frame, out)
    elif proto == 1:
        icmp = frame[ICMP]
        out.update({"icmp.type": icmp.type, "icmp.code": icmp.code})
        if icmp.type in (0, 8):
            out.update({"icmp.id": icmp.id, "icmp.seq": icmp.seq,
                        "payload": bytes(icmp.payload).hex()})
        if (icmp.type, icmp.code) == (3, 4):
            out["icmp.mtu"] = icmp.nexthopmtu
    elif proto == 58:
        expected_icmpv6(frame, out)
    return out


def scapy_frames():
    rng = random.Random(7)
    frames = []
    for link, (network, extra) in itertools.product(links(), networks()):
        for transport in transports(rng):
            frames.append((link() / network.copy() / transport, extra))
    for packet in itertools.chain(icmps(), fragments(), applications()):
        frames.append((Ether(**MAC) / packet, {}))
    frames.append((Ether(**MAC) / ARP(op=1, psrc="192.0.2.1", pdst="192.0.2.9"), {}))
    frames.append((Ether(**MAC) / ARP(op=2, psrc="192.0.2.9", pdst="192.0.2.1"), {}))
    return frames


def run(mode, path):
    done = subprocess.run([PROGRAM, mode, str(path)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


# tshark's field, VTL's name, and how to read tshark's text.
def as_int(text):
    return int(text.split(",")[0], 0)


def as_ints(text):
    return [int(part, 0) for part in text.split(",")]


def as_flag(text):
    return text.split(",")[0] in ("1", "True", "true")


TSHARK = [
    ("eth.src", "eth.src", str), ("eth.dst", "eth.dst", str), ("ip.src", "ip.src", str),
    ("ip.dst", "ip.dst", str), ("ipv6.src", "ip.src", str), ("ipv6.dst", "ip.dst", str),
    ("ip.ttl", "ip.ttl", as_int), ("ipv6.hlim", "ip.ttl", as_int), ("ip.id", "ip.id", as_int),
    ("ip.dsfield", "ip.tos", as_int), ("ipv6.tclass", "ip.tos", as_int),
    ("ipv6.flow", "ip.flow", as_int), ("ip.flags.df", "ip.df", as_flag),
    ("ip.proto", "ip.proto", as_int), ("ipv6.nxt", "ip.proto", as_int),
    ("tcp.srcport", "tcp.sport", as_int), ("tcp.dstport", "tcp.dport", as_int),
    ("tcp.seq_raw", "tcp.seq", as_int), ("tcp.ack_raw", "tcp.ack", as_int),
    ("tcp.flags", "tcp.flags", as_int), ("tcp.window_size_value", "tcp.window", as_int),
    ("tcp.options.mss_val", "tcp.mss", as_int), ("tcp.options.wscale.shift", "tcp.wscale", as_int),
    ("tcp.options.timestamp.tsval", "tcp.tsval", as_int),
    ("tcp.options.timestamp.tsecr", "tcp.tsecr", as_int),
    ("udp.srcport", "udp.sport", as_int), ("udp.dstport", "udp.dport", as_int),
    ("icmp.type", "icmp.type", as_int), ("icmpv6.type", "icmp.type", as_int),
    ("icmpv6.echo.identifier", "icmp.id", as_int), ("icmp.seq", "icmp.seq", as_int),
    ("icmpv6.nd.na.target_address", "nd.target", str), ("arp.opcode", "arp.op", as_int),
    ("icmpv6.nd.ra.router_lifetime", "ra.lifetime", as_int), ("icmpv6.opt.mtu", "ra.mtu", as_int),
    ("dns.id", "dns.id", as_int), ("dns.qry.name", "dns.name", str),
    ("dns.qry.type", "dns.type", as_int), ("dhcp.id", "dhcp.xid", as_int),
    ("dhcp.option.dhcp", "dhcp.type", as_int), ("dhcp.ip.your", "dhcp.yours", str),
    ("dhcp.option.subnet_mask", "dhcp.mask", str), ("dhcp.option.router", "dhcp.router", str),
    ("dhcp.option.domain_name_server", "dhcp.dns", str),
    ("dhcp.option.ip_address_lease_time", "dhcp.lease", as_int),
    ("arp.src.proto_ipv4", "arp.psrc", str), ("arp.dst.hw_mac", "arp.hwdst", str),
]
STATUS = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status",
          "icmp.checksum.status", "icmpv6.checksum.status"]


def tshark(path):
    fields = [field for field, _, _ in TSHARK] + STATUS + ["ieee8021ad.id", "vlan.id", "_ws.malformed", "data.data",
                                                            "dns.a", "dns.aaaa", "icmpv6.opt.rdnss"]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t"]
    for option in ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"):
        command += ["-o", option + ":TRUE"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [dict(zip(fields, line.split("\t"))) for line in done.stdout.splitlines()]


class WireInterop(unittest.TestCase):
    maxDiff = None

    def test_vtl_reads_what_scapy_builds(self):
        built = scapy_frames()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "scapy.pcap"
            wrpcap(str(path), [frame for frame, _ in built])
            seen = run("read", path)
        self.assertEqual(len(seen), len(built))
        for (frame, extra), vtl in zip(built, seen):
            whole = Ether(bytes(frame))
            want = expected(whole)
            for key, value in extra.items():
                self.assertEqual(want.get(key), value, "scapy did not build what was meant")
            self.assertEqual(vtl, want, whole.summary())

    def test_tshark_reads_what_vtl_builds(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "vtl.pcap"
            built = run("write", path)
            seen = tshark(path)
        self.assertEqual(len(seen), len(built))
        self.assertGreater(len(built), 12)
        compared = listed = 0
        for vtl, shark in zip(built, seen):
            self.assertNotIn("error", vtl)
            self.assertEqual(shark["_ws.malformed"], "")
            statuses = [shark[name] for name in STATUS if shark[name]]
            self.assertTrue(all(s in ("1", "Good") for s in statuses), shark)
            self.assertEqual(bool(statuses), "arp.op" not in vtl)
            for field, name, convert in TSHARK:
                if shark[field] == "":
                    continue
                if field == "ipv6.nxt" and "," in shark[field]:
                    continue
                self.assertEqual(convert(shark[field]), vtl[name], f"{field} of {vtl}")
                compared += 1
            if "vlan" in vtl:
                tags = [shark[name] for name in ("ieee8021ad.id", "vlan.id") if shark[name]]
                self.assertEqual(as_ints(",".join(tags)), vtl["vlan"])
            for field, name in (("dns.a", "dns.addresses"), ("dns.aaaa", "dns.addresses"),
                                ("icmpv6.opt.rdnss", "ra.dns")):
                if shark[field]:
                    self.assertEqual([shark[field]], vtl[name])
                    listed += 1
            if vtl.get("payload") and not {"tcp.sport", "dns.id", "dhcp.xid"} & vtl.keys():
                self.assertEqual(shark["data.data"].replace(":", ""), vtl["payload"])
        self.assertGreater(compared, 12 * 6)
        self.assertEqual(listed, 3)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
