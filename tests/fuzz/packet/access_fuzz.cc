// Twelve octets of metadata, then the frame: the Packet Access API on a frame that may be anything.
#include "vtl/packet/access.h"

#include "fuzz.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/packet/segment.h"

using namespace vtl;

namespace {

void write_fields(Packet& p) {
  if (p.size() >= 14) {
    swap_macs(p);
    set_source_mac(p, destination_mac(p));
  }
  if (is_ip(p)) {
    swap_addresses(p);
    set_source_address(p, destination_address(p));
    set_hop_limit(p, static_cast<std::uint8_t>(hop_limit(p) - 1));
    set_dscp(p, 63 - dscp(p));
    set_ecn(p, 3 - ecn(p));
  }
  if (is_tcp(p) || is_udp(p)) {
    swap_ports(p);
    set_source_port(p, wire::Port(7));
  }
  if (is_tcp(p)) {
    set_tcp_seq(p, tcp_seq(p) + 1);
    set_tcp_flags(p, {static_cast<std::uint8_t>(~tcp_flags(p).bits)});
  }
  (void)push_vlan(p, 5);
  pop_vlan(p);
}

void check_derived(const Packet& derived) {
  if (!derived) return;
  FUZZ_CHECK(!is_malformed(derived));
  FUZZ_CHECK(verify_checksums(derived));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMeta = 12;
  if (size < kMeta || size > kMeta + kMaxFrame) return 0;
  const Bytes meta(data, kMeta);
  PacketPool pool;
  Packet p = pool.copy_of({data + kMeta, size - kMeta});
  p.meta().checksum = {.kind = static_cast<ChecksumKind>(meta[0] % 3),
                       .start = load_be16(meta, 2),
                       .offset = load_be16(meta, 4)};
  p.meta().gso = {.kind = static_cast<GsoKind>(meta[1] % 4), .segment_size = load_be16(meta, 6)};

  fuzz::touch(payload(p));
  (void)(is_dns(p) || is_dhcp(p) || is_neighbor_discovery(p) || is_pure_ack(p));
  (void)verify_checksums(p);
  check_derived(with_payload(p, meta));
  check_derived(reply_to(p, meta));
  check_derived(tcp_reset_for(p));
  check_derived(icmp_error_for(p, IcmpError::kPacketTooBig, 1280));
  check_derived(arp_reply_for(p, wire::MacAddress{}));

  Batch segments;
  const bool super = p.meta().gso.is_super();
  if (const auto count = segment(p, pool, segments); count && super) {
    std::size_t total = 0;
    for (const Packet& one : segments) {
      check_derived(one);
      total += payload(one).size();
    }
    FUZZ_CHECK(total == payload(p).size());
  }

  Packet copy = pool.clone(p);
  write_fields(copy);
  (void)finish_checksum(copy);
  Packet other = pool.clone(p);
  if (is_ip(other) && !is_malformed(other) && !super) {
    compute_checksums(other);
    FUZZ_CHECK(verify_checksums(other));
    write_fields(other);
    // The flags or ports may have been changed, the headers' shape not: still right.
    FUZZ_CHECK(verify_checksums(other));
  }
  return 0;
}
