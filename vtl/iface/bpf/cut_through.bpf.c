// The kernel's half of cut_through.h: two programs that look a frame up in the same table.
//
// vtl_forward runs at a device's ingress and sends the frames of a flow in the table out of the
// other device. vtl_leave runs on the AF_PACKET sockets, which see a frame before that, and leaves
// those frames alone, and what the sockets would not read anyway. Only frames for other stations are
// looked up: those to this host's own MAC, and to groups, are (also) the host's. A frame that begins
// or ends a connection (SYN, FIN, RST), or is too long for the target, is none of the flow's.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "cut_through_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);  // set before it is loaded
  __type(key, struct vtl_cut_key);
  __type(value, struct vtl_cut_flow);
} vtl_flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct vtl_cut_state);
} vtl_state SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, VTL_CUT_WAYS);
  __type(key, __u32);
  __type(value, struct vtl_cut_way);
} vtl_ways SEC(".maps");

enum { kTcpFinSynRst = 0x07, kMoreOrOffset = 0x3fff, kIpv4Size = 20, kIpv6Size = 40 };

// The ports, and for TCP the flags, behind an IP header that ends at `offset`. The number of octets
// of transport header, or 0.
static __always_inline __u32 read_transport(struct __sk_buff *skb, __u32 offset,
                                            struct vtl_cut_key *key) {
  __u8 header[20];
  if (key->protocol == IPPROTO_UDP) {
    if (bpf_skb_load_bytes(skb, offset, header, 8) != 0) return 0;
  } else if (key->protocol == IPPROTO_TCP) {
    if (bpf_skb_load_bytes(skb, offset, header, 20) != 0) return 0;
    if ((header[13] & kTcpFinSynRst) != 0) return 0;
  } else {
    return 0;
  }
  __builtin_memcpy(&key->source_port, header, 2);
  __builtin_memcpy(&key->destination_port, header + 2, 2);
  return key->protocol == IPPROTO_UDP ? 8 : (header[12] >> 4) * 4;
}

struct frame {
  __u32 headers;  // octets, from the Ethernet header to the transport's
  __u32 payload;
};

// Fills `key` from a frame that may be one of a flow; 0 when it may not.
static __always_inline int read_key(struct __sk_buff *skb, struct vtl_cut_key *key,
                                    struct frame *frame) {
  __u8 header[kIpv6Size];
  __u16 type;
  __u32 total, headers;
  if (skb->vlan_present) return 0;
  if (bpf_skb_load_bytes(skb, 0, header, ETH_HLEN) != 0) return 0;
  key->ifindex = skb->ifindex;
  __builtin_memcpy(key->mac, header, 6);
  __builtin_memcpy(&type, header + 12, 2);
  if (type == bpf_htons(ETH_P_IP)) {
    if (bpf_skb_load_bytes(skb, ETH_HLEN, header, kIpv4Size) != 0) return 0;
    if (header[0] != 0x45) return 0;  // options are for those who read them
    if (((header[6] << 8 | header[7]) & kMoreOrOffset) != 0) return 0;
    key->version = 4;
    key->protocol = header[9];
    __builtin_memcpy(key->source, header + 12, 4);
    __builtin_memcpy(key->destination, header + 16, 4);
    total = header[2] << 8 | header[3];
    headers = kIpv4Size;
  } else if (type == bpf_htons(ETH_P_IPV6)) {
    if (bpf_skb_load_bytes(skb, ETH_HLEN, header, kIpv6Size) != 0) return 0;
    if ((header[0] >> 4) != 6) return 0;
    key->version = 6;
    key->protocol = header[6];
    __builtin_memcpy(key->source, header + 8, 16);
    __builtin_memcpy(key->destination, header + 24, 16);
    total = header[4] << 8 | header[5];
    if (total != 0) total += kIpv6Size;
    headers = kIpv6Size;
  } else {
    return 0;
  }
  __u32 transport = read_transport(skb, ETH_HLEN + headers, key);
  if (transport == 0) return 0;
  headers += transport;
  // The length of a super-frame may be 0; that of a short frame leaves its padding out.
  __u32 packet = total != 0 ? total : skb->len - ETH_HLEN;
  frame->headers = ETH_HLEN + headers;
  frame->payload = packet > headers ? packet - headers : 0;
  return 1;
}

static __always_inline struct vtl_cut_flow *find(struct __sk_buff *skb, __u64 now,
                                                 struct frame *frame) {
  struct vtl_cut_key key = {};
  __u32 zero = 0;
  struct vtl_cut_state *state = bpf_map_lookup_elem(&vtl_state, &zero);
  if (!state || state->until < now) return 0;
  if (skb->pkt_type != PACKET_OTHERHOST) return 0;
  if (!read_key(skb, &key, frame)) return 0;
  struct vtl_cut_flow *flow = bpf_map_lookup_elem(&vtl_flows, &key);
  if (!flow || flow->way >= VTL_CUT_WAYS) return 0;
  // Of a super-frame each segment counts.
  __u32 length = skb->gso_size != 0 ? frame->headers + skb->gso_size : skb->len;
  return length <= state->longest[flow->way] ? flow : 0;
}

SEC("tc")
int vtl_forward(struct __sk_buff *skb) {
  __u64 now = bpf_ktime_get_ns();
  struct frame frame = {};
  struct vtl_cut_flow *flow = find(skb, now, &frame);
  if (!flow) return TC_ACT_UNSPEC;
  __sync_fetch_and_add(&flow->frames, 1);
  __sync_fetch_and_add(&flow->octets, frame.payload);
  flow->last_use = now;
  __u32 index = flow->way;
  struct vtl_cut_way *way = bpf_map_lookup_elem(&vtl_ways, &index);
  if (way) {
    way->frames += 1;
    way->bytes += skb->len;
  }
  return bpf_redirect(flow->target, 0);
}

SEC("socket")
int vtl_leave(struct __sk_buff *skb) {
  __u32 zero = 0;
  struct frame frame = {};
  struct vtl_cut_state *state = bpf_map_lookup_elem(&vtl_state, &zero);
  if (!state) return 0;
  if (skb->pkt_type == PACKET_OUTGOING) return 0;
  if (skb->pkt_type == PACKET_HOST && !state->host_frames) return 0;
  return find(skb, bpf_ktime_get_ns(), &frame) ? 0 : -1;
}

// The helpers used here are open to programs under any licence.
char LICENSE[] SEC("license") = "Apache-2.0";
