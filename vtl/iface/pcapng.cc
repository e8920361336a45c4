#include "vtl/iface/pcapng.h"

#include <algorithm>

namespace vtl::iface {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a, kInterfaceDescription = 1,
                        kInterfaceStatistics = 5, kEnhancedPacket = 6;
constexpr std::uint16_t kOptEnd = 0, kOptComment = 1;
constexpr std::uint16_t kShbUserAppl = 4, kIfName = 2, kIfTsResolution = 9, kEpbFlags = 2;
constexpr std::uint16_t kIsbIfRecv = 4, kIsbIfDrop = 5;
constexpr std::uint16_t kLinkTypeEthernet = 1;
constexpr std::size_t kMaxOption = 65535;

using Buffer = std::vector<std::uint8_t>;

template <class T>
void put(Buffer& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
}

void pad(Buffer& out, std::size_t written) {
  out.resize(out.size() + (4 - written % 4) % 4);
}

void put_option(Buffer& out, std::uint16_t code, std::string_view value) {
  value = value.substr(0, kMaxOption);
  put(out, code);
  put(out, static_cast<std::uint16_t>(value.size()));
  out.insert(out.end(), value.begin(), value.end());
  pad(out, value.size());
}

void put_number(Buffer& out, std::uint16_t code, std::uint64_t value) {
  put(out, code);
  put(out, static_cast<std::uint16_t>(sizeof value));
  put(out, value);
}

// A block's two lengths are known when it is complete.
class Block {
 public:
  Block(Buffer& out, std::uint32_t type) : out_(out), begin_(out.size()) {
    put(out_, type);
    put(out_, std::uint32_t{0});
  }
  ~Block() {
    const auto length = static_cast<std::uint32_t>(out_.size() - begin_ + 4);
    put(out_, length);
    for (std::size_t i = 0; i < 4; ++i) {
      out_[begin_ + 4 + i] = static_cast<std::uint8_t>(length >> (8 * i));
    }
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

 private:
  Buffer& out_;
  std::size_t begin_;
};

}  // namespace

void append_section_header(Buffer& out, std::string_view application) {
  const Block block(out, kSectionHeader);
  put(out, std::uint32_t{0x1a2b3c4d});  // byte-order magic
  put(out, std::uint16_t{1});           // version 1.0
  put(out, std::uint16_t{0});
  put(out, ~std::uint64_t{0});  // section length: not told
  put_option(out, kShbUserAppl, application);
  put_option(out, kOptEnd, {});
}

void append_interface(Buffer& out, std::string_view name, std::uint32_t snap_length) {
  const Block block(out, kInterfaceDescription);
  put(out, kLinkTypeEthernet);
  put(out, std::uint16_t{0});
  put(out, snap_length);
  put_option(out, kIfName, name);
  put_option(out, kIfTsResolution, "\x09");  // 10^-9 s
  put_option(out, kOptEnd, {});
}

void append_packet(Buffer& out, std::uint32_t interface, std::int64_t nanoseconds, Bytes captured,
                   std::size_t original_size, CaptureDirection direction,
                   std::string_view comment) {
  const Block block(out, kEnhancedPacket);
  const auto time = static_cast<std::uint64_t>(nanoseconds);
  put(out, interface);
  put(out, static_cast<std::uint32_t>(time >> 32));
  put(out, static_cast<std::uint32_t>(time));
  put(out, static_cast<std::uint32_t>(captured.size()));
  put(out, static_cast<std::uint32_t>(original_size));
  out.insert(out.end(), captured.begin(), captured.end());
  pad(out, captured.size());
  if (!comment.empty()) put_option(out, kOptComment, comment);
  if (direction != CaptureDirection::kUnknown) {
    put(out, kEpbFlags);
    put(out, std::uint16_t{4});
    put(out, static_cast<std::uint32_t>(direction));
  }
  if (!comment.empty() || direction != CaptureDirection::kUnknown) put_option(out, kOptEnd, {});
}

void append_statistics(Buffer& out, std::uint32_t interface, std::int64_t nanoseconds,
                       std::uint64_t received, std::uint64_t dropped) {
  const Block block(out, kInterfaceStatistics);
  const auto time = static_cast<std::uint64_t>(nanoseconds);
  put(out, interface);
  put(out, static_cast<std::uint32_t>(time >> 32));
  put(out, static_cast<std::uint32_t>(time));
  put_number(out, kIsbIfRecv, received);
  put_number(out, kIsbIfDrop, dropped);
  put_option(out, kOptEnd, {});
}

}  // namespace vtl::iface
