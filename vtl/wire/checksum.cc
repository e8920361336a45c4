#include "vtl/wire/checksum.h"

#include <bit>
#include <cstring>

namespace vtl::wire {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t load_native(const std::uint8_t* from) noexcept {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::uint16_t fold(std::uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

// The ones'-complement sum does not care about the byte order in which words are added, save for a
// final swap (RFC 1071 section 2 (B)): so whole native words are added, two chains side by side.
std::uint16_t sum_native(Bytes bytes) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  Wide even = 0;
  Wide odd = 0;
  for (; left >= 32; at += 32, left -= 32) {
    even += load_native(at);
    odd += load_native(at + 8);
    even += load_native(at + 16);
    odd += load_native(at + 24);
  }
  for (; left >= 8; at += 8, left -= 8) even += load_native(at);
  if (left > 0) {
    std::uint64_t tail = 0;
    std::memcpy(&tail, at, left);
    odd += tail;
  }
  const Wide sum = even + odd;
  const auto low = static_cast<std::uint64_t>(sum);
  const auto high = static_cast<std::uint64_t>(sum >> 64);
  const Wide both = static_cast<Wide>(low) + high;
  return fold(static_cast<std::uint64_t>(both) + static_cast<std::uint64_t>(both >> 64));
}

}  // namespace

void ChecksumSum::add(Bytes bytes) noexcept {
  std::uint16_t sum = sum_native(bytes);
  if constexpr (std::endian::native == std::endian::little) sum = __builtin_bswap16(sum);
  sum_ += sum;
}

std::uint16_t ChecksumSum::folded() const noexcept {
  return fold(sum_);
}

std::uint16_t checksum(Bytes bytes) noexcept {
  ChecksumSum sum;
  sum.add(bytes);
  return sum.checksum();
}

ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination,
                              IpProtocol protocol, std::uint32_t length) noexcept {
  assert(source.version() == destination.version());
  ChecksumSum sum;
  if (source.is_v4()) {
    sum.add32(source.v4().value());
    sum.add32(destination.v4().value());
  } else {
    const auto from = source.v6();
    const auto to = destination.v6();
    sum.add(from.octets());
    sum.add(to.octets());
  }
  sum.add16(static_cast<std::uint8_t>(protocol));
  sum.add32(length);
  return sum;
}

std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination,
                                 IpProtocol protocol, Bytes segment) noexcept {
  ChecksumSum sum;
  if (protocol != IpProtocol::kIcmp) {
    sum = pseudo_header_sum(source, destination, protocol,
                            static_cast<std::uint32_t>(segment.size()));
  }
  sum.add(segment);
  const std::uint16_t result = sum.checksum();
  return protocol == IpProtocol::kUdp && result == 0 ? 0xffff : result;
}

std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t before,
                              std::uint16_t after) noexcept {
  ChecksumSum sum;
  sum.add16(static_cast<std::uint16_t>(~checksum));
  sum.add16(static_cast<std::uint16_t>(~before));
  sum.add16(after);
  return sum.checksum();
}

std::uint16_t checksum_update32(std::uint16_t checksum, std::uint32_t before,
                                std::uint32_t after) noexcept {
  ChecksumSum sum;
  sum.add16(static_cast<std::uint16_t>(~checksum));
  sum.add32(~before);
  sum.add32(after);
  return sum.checksum();
}

}  // namespace vtl::wire
