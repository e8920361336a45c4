#include "vtl/wire/tcp.h"

#include <fmt/format.h>

#include <algorithm>

#include "vtl/wire/checksum.h"

namespace vtl::wire {
namespace {

// IANA "TCP Option Kind Numbers" and the lengths of RFC 9293 section 3.2, RFC 7323, RFC 2018.
constexpr std::uint8_t kEnd = 0, kNop = 1, kMss = 2, kWindowScale = 3, kSackPermitted = 4,
                       kSack = 5, kTimestamps = 8;
constexpr std::size_t kMssSize = 4, kWindowScaleSize = 3, kSackPermittedSize = 2,
                      kTimestampsSize = 10, kSackBlockSize = 8;
constexpr std::size_t kMaxOptionSize = TcpView::kMaxSize - TcpView::kMinSize;
constexpr std::uint8_t kMaxWindowScale = 14;

bool right_length(std::uint8_t kind, std::size_t length) noexcept {
  switch (kind) {
    case kMss:
      return length == kMssSize;
    case kWindowScale:
      return length == kWindowScaleSize;
    case kSackPermitted:
      return length == kSackPermittedSize;
    case kTimestamps:
      return length == kTimestampsSize;
    case kSack:
      return length > 2 && (length - 2) % kSackBlockSize == 0;
    default:
      return true;
  }
}

// Calls visit(kind, body) for each option but NOP. False as soon as one is malformed.
template <class Visit>
bool for_each_option(Bytes bytes, Visit visit) noexcept {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint8_t kind = bytes[at];
    if (kind == kEnd) return true;
    if (kind == kNop) {
      ++at;
      continue;
    }
    if (bytes.size() - at < 2) return false;
    const std::size_t length = bytes[at + 1];
    if (length < 2 || length > bytes.size() - at || !right_length(kind, length)) return false;
    visit(kind, bytes.subspan(at + 2, length - 2));
    at += length;
  }
  return true;
}

void read_sack(Bytes body, TcpOptions& options) noexcept {
  options.sack_count = static_cast<std::uint8_t>(body.size() / kSackBlockSize);
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    options.sack[i] = {SeqNum(load_be32(body, kSackBlockSize * i)),
                       SeqNum(load_be32(body, kSackBlockSize * i + 4))};
  }
}

// Octets of all options but SACK, as emit() pads them. SACK-permitted rides in the padding of the
// timestamps when both are there.
std::size_t fixed_option_size(const TcpOptions& o) noexcept {
  std::size_t size = 0;
  if (o.mss) size += kMssSize;
  if (o.timestamps) size += kTimestampsSize + 2;
  if (o.window_scale) size += kWindowScaleSize + 1;
  if (o.sack_permitted && !o.timestamps) size += kSackPermittedSize + 2;
  return size;
}

std::size_t sack_blocks_that_fit(const TcpOptions& o) noexcept {
  const std::size_t left = kMaxOptionSize - fixed_option_size(o);
  if (left < 4 + kSackBlockSize) return 0;
  return std::min<std::size_t>(
      {o.sack_count, TcpOptions::kMaxSackBlocks, (left - 4) / kSackBlockSize});
}

std::size_t option_size(const TcpOptions& o) noexcept {
  const std::size_t blocks = sack_blocks_that_fit(o);
  return fixed_option_size(o) + (blocks == 0 ? 0 : 4 + kSackBlockSize * blocks);
}

void emit_options(const TcpOptions& o, MutableBytes out) noexcept {
  std::size_t at = 0;
  const auto put = [&](std::initializer_list<std::uint8_t> octets) {
    for (const std::uint8_t octet : octets) out[at++] = octet;
  };
  const auto put16 = [&](std::uint16_t value) {
    store_be16(out, at, value);
    at += 2;
  };
  const auto put32 = [&](std::uint32_t value) {
    store_be32(out, at, value);
    at += 4;
  };
  if (o.mss) {
    put({kMss, kMssSize});
    put16(*o.mss);
  }
  if (o.sack_permitted) {
    if (o.timestamps) {
      put({kSackPermitted, kSackPermittedSize});
    } else {
      put({kNop, kNop, kSackPermitted, kSackPermittedSize});
    }
  }
  if (o.timestamps) {
    if (!o.sack_permitted) put({kNop, kNop});
    put({kTimestamps, kTimestampsSize});
    put32(o.timestamps->value);
    put32(o.timestamps->echo);
  }
  if (o.window_scale) put({kNop, kWindowScale, kWindowScaleSize, *o.window_scale});
  const std::size_t blocks = sack_blocks_that_fit(o);
  if (blocks > 0) {
    put({kNop, kNop, kSack, static_cast<std::uint8_t>(2 + kSackBlockSize * blocks)});
    for (std::size_t i = 0; i < blocks; ++i) {
      put32(o.sack[i].left.value());
      put32(o.sack[i].right.value());
    }
  }
}

}  // namespace

std::size_t TcpFields::size() const noexcept {
  return TcpView::kMinSize + option_size(options);
}

void TcpFields::emit(MutableBytes out) const noexcept {
  const std::size_t length = size();
  assert(out.size() >= length);
  store_be16(out, 0, source.value());
  store_be16(out, 2, destination.value());
  store_be32(out, 4, seq.value());
  store_be32(out, 8, ack.value());
  store_u8(out, 12, static_cast<std::uint8_t>(length / 4 << 4));
  store_u8(out, 13, flags.bits);
  store_be16(out, 14, window);
  store_be16(out, TcpView::kChecksumOffset, 0);
  store_be16(out, 18, urgent);
  emit_options(options, out.subspan(TcpView::kMinSize, length - TcpView::kMinSize));
}

Parsed<TcpView> TcpView::parse(Bytes segment) noexcept {
  if (segment.size() < kMinSize) return std::unexpected(WireError::kTruncated);
  const std::size_t header = static_cast<std::size_t>(load_u8(segment, 12) >> 4) * 4;
  if (header < kMinSize || header > segment.size()) {
    return std::unexpected(WireError::kBadHeaderLength);
  }
  const Bytes options = segment.subspan(kMinSize, header - kMinSize);
  if (!for_each_option(options, [](std::uint8_t, Bytes) {})) {
    return std::unexpected(WireError::kBadOption);
  }
  return TcpView(segment);
}

TcpOptions TcpView::options() const noexcept {
  TcpOptions o;
  for_each_option(option_bytes(), [&o](std::uint8_t kind, Bytes body) {
    switch (kind) {
      case kMss:
        o.mss = load_be16(body, 0);
        break;
      case kWindowScale:
        o.window_scale = std::min(body[0], kMaxWindowScale);
        break;
      case kSackPermitted:
        o.sack_permitted = true;
        break;
      case kTimestamps:
        o.timestamps = {load_be32(body, 0), load_be32(body, 4)};
        break;
      case kSack:
        read_sack(body, o);
        break;
      default:
        break;
    }
  });
  return o;
}

TcpFields TcpView::fields() const noexcept {
  return {source(), destination(), seq(), ack(), flags(), window(), urgent(), options()};
}

std::uint32_t TcpView::sequence_length() const noexcept {
  return static_cast<std::uint32_t>(payload().size()) + (flags().syn() ? 1 : 0) +
         (flags().fin() ? 1 : 0);
}

bool TcpView::verify_checksum(const IpAddress& source,
                              const IpAddress& destination) const noexcept {
  return transport_checksum(source, destination, IpProtocol::kTcp, bytes_) == 0;
}

std::string to_string(TcpFlags flags) {
  static constexpr std::array<std::pair<std::uint8_t, std::string_view>, 8> kNames{{
      {TcpFlags::kSyn, "SYN"},
      {TcpFlags::kFin, "FIN"},
      {TcpFlags::kRst, "RST"},
      {TcpFlags::kPsh, "PSH"},
      {TcpFlags::kAck, "ACK"},
      {TcpFlags::kUrg, "URG"},
      {TcpFlags::kEce, "ECE"},
      {TcpFlags::kCwr, "CWR"},
  }};
  std::string out;
  for (const auto& [bit, text] : kNames) {
    if ((flags.bits & bit) == 0) continue;
    if (!out.empty()) out += ", ";
    out += text;
  }
  return out.empty() ? "none" : out;
}

std::string to_string(const TcpOptions& o) {
  std::string out;
  const auto item = [&out]() {
    if (!out.empty()) out += ", ";
    return std::back_inserter(out);
  };
  if (o.mss) fmt::format_to(item(), "mss {}", *o.mss);
  if (o.window_scale) fmt::format_to(item(), "wscale {}", *o.window_scale);
  if (o.sack_permitted) fmt::format_to(item(), "sack-permitted");
  if (o.timestamps) {
    fmt::format_to(item(), "ts {} echo {}", o.timestamps->value, o.timestamps->echo);
  }
  for (std::size_t i = 0; i < o.sack_count; ++i) {
    fmt::format_to(item(), "sack {}-{}", o.sack[i].left.value(), o.sack[i].right.value());
  }
  return out;
}

std::string to_string(const TcpFields& f) {
  std::string out = fmt::format("{} > {} [{}] seq {}", f.source.value(), f.destination.value(),
                                to_string(f.flags), f.seq.value());
  if (f.flags.ack()) fmt::format_to(std::back_inserter(out), " ack {}", f.ack.value());
  fmt::format_to(std::back_inserter(out), " win {}", f.window);
  if (f.flags.urg()) fmt::format_to(std::back_inserter(out), " urg {}", f.urgent);
  if (const std::string options = to_string(f.options); !options.empty()) {
    fmt::format_to(std::back_inserter(out), " <{}>", options);
  }
  return out;
}

}  // namespace vtl::wire
