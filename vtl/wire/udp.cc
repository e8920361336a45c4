#include "vtl/wire/udp.h"

#include <fmt/format.h>

#include "vtl/wire/checksum.h"

namespace vtl::wire {

void UdpFields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize && payload_length <= kMaxPayload);
  store_be16(out, 0, source.value());
  store_be16(out, 2, destination.value());
  store_be16(out, UdpView::kLengthOffset, static_cast<std::uint16_t>(kSize + payload_length));
  store_be16(out, UdpView::kChecksumOffset, 0);
}

Parsed<UdpView> UdpView::parse(Bytes datagram) noexcept {
  if (datagram.size() < kSize) return std::unexpected(WireError::kTruncated);
  const std::size_t claimed = load_be16(datagram, kLengthOffset);
  if (claimed < kSize) return std::unexpected(WireError::kBadLength);
  if (claimed > datagram.size()) return std::unexpected(WireError::kTruncated);
  return UdpView(datagram.first(claimed));
}

Parsed<UdpView> UdpView::parse_super_frame(Bytes datagram) noexcept {
  if (datagram.size() < kSize) return std::unexpected(WireError::kTruncated);
  if (datagram.size() > kSize + UdpFields::kMaxPayload) {
    return std::unexpected(WireError::kBadLength);
  }
  if (load_be16(datagram, kLengthOffset) > datagram.size()) {
    return std::unexpected(WireError::kTruncated);
  }
  return UdpView(datagram);
}

bool UdpView::verify_checksum(const IpAddress& source,
                              const IpAddress& destination) const noexcept {
  if (checksum() == 0) return source.is_v4();
  ChecksumSum sum = pseudo_header_sum(source, destination, IpProtocol::kUdp,
                                      static_cast<std::uint32_t>(bytes_.size()));
  sum.add(bytes_);
  return sum.checksum() == 0;
}

std::string to_string(const UdpFields& f) {
  return fmt::format("{} > {} length {}", f.source.value(), f.destination.value(),
                     f.payload_length);
}

}  // namespace vtl::wire
