// Any virtio header before any frame: refused, or metadata that everything after it can live with:
// the checksum finished, the super-frame cut, a header made for the next device.
#include "vtl/iface/vnet_header.h"

#include <cstring>

#include "fuzz.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/segment.h"

using namespace vtl;

namespace {

void expect_within(const Packet& packet) {
  const ChecksumState& checksum = packet.meta().checksum;
  if (checksum.kind != ChecksumKind::kPartial) return;
  FUZZ_CHECK(std::size_t{checksum.start} + checksum.offset + 2 <= packet.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  iface::VnetHeader header;
  if (size < sizeof header + 1) return 0;
  std::memcpy(&header, data, sizeof header);
  const std::size_t shift = data[sizeof header] % 2 * 4U;  // of a restored VLAN tag
  const Bytes frame(data + sizeof header + 1, size - sizeof header - 1);
  if (frame.empty() || frame.size() > kMaxFrame) return 0;

  static PacketPool pool;
  Packet packet = pool.copy_of(frame);
  if (!iface::read_vnet_header(header, shift, packet)) return 0;
  expect_within(packet);
  if (packet.meta().gso.is_super()) FUZZ_CHECK(packet.meta().gso.segment_size > 0);

  Batch cut;
  if (segment(packet, pool, cut)) {
    FUZZ_CHECK(!cut.empty() && cut.size() <= kMaxSegments);
    for (const Packet& p : cut) {
      FUZZ_CHECK(!p.meta().gso.is_super() && p.meta().checksum.kind != ChecksumKind::kPartial);
      fuzz::touch(p.bytes());
    }
  }
  Packet whole = pool.clone(packet);
  if (!whole.meta().gso.is_super() || iface::prepare_super_frame(whole)) {
    expect_within(whole);
    const iface::VnetHeader made = iface::make_vnet_header(whole);
    Packet again = pool.copy_of(whole.bytes());
    FUZZ_CHECK(iface::read_vnet_header(made, 0, again));
    FUZZ_CHECK(again.meta().gso.kind == whole.meta().gso.kind &&
               again.meta().gso.segment_size == whole.meta().gso.segment_size);
  }
  if (finish_checksum(packet)) fuzz::touch(packet.bytes());
  return 0;
}
