#!/usr/bin/python3
"""Makes the seeds of the config and control fuzz targets. Run it when a key or a command is added."""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "corpus"

EVERY_KEY = """\
workers: 1
busy_poll: 50us
packet_memory: 64MiB
seed: 7
stop_grace: 3s
log_level: debug
control: { socket: none, metrics: "[::1]:9464" }
interfaces:
  a: { type: af_packet, device: eth0, promiscuous: false, host_frames: true, qdisc_bypass: yes,
       receive_buffer: 1MiB, send_buffer: 64KiB }
  t: { type: tap, device: tap0, bring_up: false }
  p: { type: pcap, device: eth1, filter: "ip or ip6" }
  f: { type: pcap_file, read: in.pcap, write: out.pcapng, pace: recorded }
  q: { type: qemu, address: "unix:/run/vm.sock", listen: false, mtu: 9000, retry: 2s }
peers:
  u: { transport: udt, address: 192.0.2.1, port: 9000, listen: 0.0.0.0:9000, key: 0123456789abcdef,
       buffer: 1MiB, udp_buffer: 4MiB, mss: 1400, warm: 1, max_streams: 5, max_half_open: 6,
       handshake_timeout: 1s, answer_timeout: 2s, linger: 3s, idle_timeout: 4s,
       probe_min: 1s, probe_max: 2s }
  c: { transport: tcp, address: "2001:db8::1", port: 1, key: fedcba9876543210, congestion: bbr }
links:
  - { name: one, guest: t, network: a, services: [ bridge, impair: { rate: 1Gbit/s, delay: 30ms,
      jitter: 1ms, queue: 2MB, loss: 0.1%, seed: 3, outbound: { burst: { to_bad: 0.1, to_good: 0.5,
      loss_bad: 1, loss_good: 0 } }, inbound: { reorder: 1%, reorder_by: 2ms, duplicate: 1%,
      corrupt: 0.001, overhead: 24 }, release_interval: 100us } ] }
  - name: two
    guest: p
    network: none
    services:
      - gateway: { peer: u, match: "tcp and not port 22", on_peer_down: pass, max_connections: 10,
                   max_half_open: 5, buffer: 1MiB, memory: 64MiB, guest_next_hop: 10.0.0.1,
                   network_next_hop: "fd00::1", keep_alive: 1h, time_wait: 5s }
"""
MISTAKES = """\
workers: 0
wokers: 2
seed: [1, { a: 2 }]
user: nobody-of-this-name
interfaces: { a: { type: af_paket }, b: { type: tap, device: "" }, none: 5 }
peers: { "x y": { transport: quic, port: 99999, key: short, key_file: /dev/null } }
links:
  - { guest: b, services: [ { bridge: {}, impair: {} }, nothing, gateway: { peer: z, match: "((" } ] }
control: { metrics: 198.51.100.1:1 }
"""
SYNTAX = ["a: &x 1\nb: *x\n", "---\na: 1\n---\nb: 2\n", "a: [1, 2\n", "a: 'x\n", "\ta: 1\n", "? [a]\n: b\n",
          "a: |\n  text\n\tmore\n", "[" * 40 + "]" * 40, "a: !!binary aGk=\n", "%YAML 1.2\n---\nlinks: []\n",
          "\ufeffworkers: 1\n", "a: \"\\x00\\u20ac\"\n"]
REQUESTS = ["status", "flows", "stats", "stop", "fly"]


def block(kind, body):
    """A pcapng block."""
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def dump_stream():
    """Pieces of 7 octets: a section, an interface, two frames, statistics with nine frames dropped."""
    section = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 1, 0, 65535))
    frame = block(6, struct.pack("<5I", 0, 0, 0, 60, 60) + bytes(60))
    counts = block(5, struct.pack("<3I", 0, 0, 0) + struct.pack("<HHQHHQHH", 4, 8, 11, 5, 8, 9, 0, 0))
    return b"\x06" + section + interface + frame + frame + counts


def main():
    tally = CORPUS / "control_dump_tally"
    tally.mkdir(parents=True, exist_ok=True)
    (tally / "dump").write_bytes(dump_stream())
    (tally / "twice").write_bytes(b"\x20" + dump_stream()[1:] * 2)
    config = CORPUS / "config_text"
    control = CORPUS / "control_protocol"
    config.mkdir(parents=True, exist_ok=True)
    control.mkdir(parents=True, exist_ok=True)
    for example in (HERE.parent.parent / "conf").glob("*.yaml"):
        (config / example.stem).write_bytes(example.read_bytes())
    (config / "every_key").write_text(EVERY_KEY)
    (config / "mistakes").write_text(MISTAKES)
    for number, text in enumerate(SYNTAX):
        (config / f"syntax{number}").write_text(text, encoding="utf-8")
    for name in REQUESTS:
        (control / name).write_text(json.dumps({"command": name}))
    dump = {"command": "dump", "link": "vm1", "boundary": 1, "snap_length": 96, "filter": "tcp port 80"}
    (control / "dump").write_text(json.dumps(dump))
    (control / "dump_wrong").write_text(json.dumps(dict(dump, boundary=-1, filter=None)))
    (control / "deep").write_text("{" + '"a":[' * 30)
    (control / "answer").write_text(json.dumps({"ok": True, "result": {"flows": [], "total": 0}}))
    (control / "refusal_number").write_text(json.dumps({"ok": False, "error": 1}))
    (control / "refusal").write_text(json.dumps({"ok": False, "error": "no link 'vm2'; there are: vm1"}))


if __name__ == "__main__":
    main()
