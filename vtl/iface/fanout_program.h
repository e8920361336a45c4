// The classic BPF program that spreads frames over the workers of one device.
//
// It computes wire::symmetric_hash() in the kernel: the PACKET_FANOUT_CBPF mode takes the result
// modulo the number of sockets, so the socket that joined n-th gets the flows of worker n. It walks
// what parse_layout() walks: one VLAN tag beside the one that the kernel takes off, IPv4 options,
// up to kMaxIpv6Extensions extension headers. Fragments, and protocols without ports, are spread by
// their addresses; what is not IP goes to worker 0, as does what is cut short.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace vtl::iface {

/// The program, for a socket whose frames begin at the network header (as fanout's do).
[[nodiscard]] std::vector<sock_filter> make_fanout_program();

}  // namespace vtl::iface
