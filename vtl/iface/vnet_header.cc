#include "vtl/iface/vnet_header.h"

#include "vtl/packet/checksum.h"

namespace vtl::iface {
namespace {

bool read_gso(const VnetHeader& header, Packet& packet) {
  Gso& gso = packet.meta().gso;
  switch (header.gso_type & ~VnetHeader::kGsoEcn) {
    case VnetHeader::kGsoTcpV4:
      gso.kind = GsoKind::kTcpV4;
      break;
    case VnetHeader::kGsoTcpV6:
      gso.kind = GsoKind::kTcpV6;
      break;
    case VnetHeader::kGsoUdp:
      gso.kind = GsoKind::kUdp;
      break;
    default:
      return false;
  }
  if (header.gso_size == 0) return false;
  gso.segment_size = header.gso_size;
  gso.ecn = (header.gso_type & VnetHeader::kGsoEcn) != 0;
  const Layout& layout = packet.layout();
  if (layout.error || layout.transport == TransportKind::kNone) return false;
  gso.header_length = layout.payload_offset;
  return true;
}

}  // namespace

bool read_vnet_header(const VnetHeader& header, std::size_t shift, Packet& packet) noexcept {
  ChecksumState& checksum = packet.meta().checksum;
  if ((header.flags & VnetHeader::kNeedsChecksum) != 0) {
    const std::size_t start = header.checksum_start + shift;
    if (start > 0xffff || start + header.checksum_offset + 2 > packet.size()) return false;
    checksum = {.kind = ChecksumKind::kPartial,
                .start = static_cast<std::uint16_t>(start),
                .offset = header.checksum_offset};
  } else if ((header.flags & VnetHeader::kDataValid) != 0) {
    checksum.kind = ChecksumKind::kVerified;
  }
  return header.gso_type == VnetHeader::kGsoNone || read_gso(header, packet);
}

VnetHeader make_vnet_header(const Packet& packet) noexcept {
  VnetHeader header{};
  const PacketMeta& meta = packet.meta();
  if (meta.checksum.kind == ChecksumKind::kPartial) {
    header.flags = VnetHeader::kNeedsChecksum;
    header.checksum_start = meta.checksum.start;
    header.checksum_offset = meta.checksum.offset;
  }
  if (!meta.gso.is_super()) return header;
  header.gso_type = meta.gso.kind == GsoKind::kTcpV4   ? VnetHeader::kGsoTcpV4
                    : meta.gso.kind == GsoKind::kTcpV6 ? VnetHeader::kGsoTcpV6
                                                       : VnetHeader::kGsoUdp;
  if (meta.gso.ecn) header.gso_type |= VnetHeader::kGsoEcn;
  header.header_length = meta.gso.header_length;
  header.gso_size = meta.gso.segment_size;
  return header;
}

bool prepare_super_frame(Packet& packet) noexcept {
  PacketMeta& meta = packet.meta();
  if (meta.checksum.kind != ChecksumKind::kPartial) {
    leave_checksum_partial(packet);
    if (meta.checksum.kind != ChecksumKind::kPartial) return false;
  }
  if (meta.gso.header_length == 0) {
    if (packet.layout().error) return false;
    meta.gso.header_length = packet.layout().payload_offset;
  }
  return true;
}

}  // namespace vtl::iface
