#include "vtl/wire/dhcpv4.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtl::wire {
namespace {

constexpr std::size_t kCookieOffset = 236, kHardwareOffset = 28;
constexpr std::uint32_t kCookie = 0x63825363;  // RFC 2132 section 2
constexpr std::uint8_t kRequestOp = 1, kReplyOp = 2, kEthernetType = 1;
constexpr std::uint16_t kBroadcastFlag = 0x8000;

// The lengths that an option may have; nullopt: any.
std::optional<std::size_t> fixed_length(DhcpOption kind) noexcept {
  switch (kind) {
    case DhcpOption::kMessageType:
      return 1;
    case DhcpOption::kInterfaceMtu:
      return 2;
    case DhcpOption::kSubnetMask:
    case DhcpOption::kRequestedAddress:
    case DhcpOption::kLeaseTime:
    case DhcpOption::kServerId:
    case DhcpOption::kRenewalTime:
    case DhcpOption::kRebindingTime:
      return 4;
    default:
      return std::nullopt;
  }
}

bool length_fits(DhcpOption kind, std::size_t length) noexcept {
  if (kind == DhcpOption::kRouter || kind == DhcpOption::kDnsServer) {
    return length >= Ipv4Address::kSize && length % Ipv4Address::kSize == 0;
  }
  return fixed_length(kind).value_or(length) == length;
}

struct Found {
  DhcpOption kind;
  Bytes data;
};

// Walks over options; checked() must have been asked before.
class Options {
 public:
  explicit Options(Bytes bytes) noexcept : left_(bytes) {}

  [[nodiscard]] std::optional<Found> next() noexcept {
    while (!left_.empty() && kind() == DhcpOption::kPad) left_ = left_.subspan(1);
    if (left_.empty() || kind() == DhcpOption::kEnd) return std::nullopt;
    const Found found{kind(), left_.subspan(2, left_[1])};
    left_ = left_.subspan(2 + found.data.size());
    return found;
  }
  /// What follows is no option, or the next one is whole.
  [[nodiscard]] bool checked() const noexcept {
    Bytes left = left_;
    while (!left.empty()) {
      const auto kind = static_cast<DhcpOption>(left[0]);
      if (kind == DhcpOption::kEnd) return true;
      if (kind == DhcpOption::kPad) {
        left = left.subspan(1);
        continue;
      }
      if (left.size() < 2 || left.size() - 2 < left[1] || !length_fits(kind, left[1])) return false;
      left = left.subspan(2U + left[1]);
    }
    return true;  // RFC 2132 section 3.2 asks for an end; clients are known to leave it out
  }

 private:
  [[nodiscard]] DhcpOption kind() const noexcept { return static_cast<DhcpOption>(left_[0]); }
  Bytes left_;
};

// Appends options.
class OptionWriter {
 public:
  explicit OptionWriter(MutableBytes out) noexcept : out_(out) {}

  void octet(DhcpOption kind, std::uint8_t value) noexcept {
    begin(kind, 1);
    store_u8(out_, at_++, value);
  }
  void word(DhcpOption kind, std::optional<std::uint16_t> value) noexcept {
    if (!value) return;
    begin(kind, 2);
    store_be16(out_, at_, *value);
    at_ += 2;
  }
  void number(DhcpOption kind, std::optional<std::uint32_t> value) noexcept {
    if (!value) return;
    begin(kind, 4);
    store_be32(out_, at_, *value);
    at_ += 4;
  }
  void address(DhcpOption kind, std::optional<Ipv4Address> value) noexcept {
    if (value) number(kind, value->value());
  }
  void end() noexcept { store_u8(out_, at_++, static_cast<std::uint8_t>(DhcpOption::kEnd)); }

 private:
  void begin(DhcpOption kind, std::uint8_t length) noexcept {
    store_u8(out_, at_++, static_cast<std::uint8_t>(kind));
    store_u8(out_, at_++, length);
  }
  MutableBytes out_;
  std::size_t at_ = 0;
};

// Type, eight options of four octets, MTU, end.
static_assert(DhcpView::kMinSize + 3 + 8 * 6 + 4 + 1 <= DhcpFields::kSize);

void write_options(const DhcpFields& f, MutableBytes out) noexcept {
  OptionWriter writer(out);
  writer.octet(DhcpOption::kMessageType, static_cast<std::uint8_t>(f.type));
  writer.address(DhcpOption::kServerId, f.server);
  writer.address(DhcpOption::kRequestedAddress, f.requested);
  writer.number(DhcpOption::kLeaseTime, f.lease_seconds);
  writer.number(DhcpOption::kRenewalTime, f.renewal_seconds);
  writer.number(DhcpOption::kRebindingTime, f.rebinding_seconds);
  writer.address(DhcpOption::kSubnetMask, f.mask);
  writer.address(DhcpOption::kRouter, f.router);
  writer.address(DhcpOption::kDnsServer, f.dns);
  writer.word(DhcpOption::kInterfaceMtu, f.mtu);
  writer.end();
}

}  // namespace

std::string_view to_string(DhcpType type) noexcept {
  switch (type) {
    case DhcpType::kDiscover:
      return "discover";
    case DhcpType::kOffer:
      return "offer";
    case DhcpType::kRequest:
      return "request";
    case DhcpType::kDecline:
      return "decline";
    case DhcpType::kAck:
      return "ack";
    case DhcpType::kNak:
      return "nak";
    case DhcpType::kRelease:
      return "release";
    case DhcpType::kInform:
      return "inform";
  }
  return "unknown";
}

void DhcpFields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= size());
  std::fill_n(out.begin(), size(), std::uint8_t{0});
  store_u8(out, 0, reply ? kReplyOp : kRequestOp);
  store_u8(out, 1, kEthernetType);
  store_u8(out, 2, MacAddress::kSize);
  store_be32(out, 4, transaction);
  store_be16(out, 8, seconds);
  store_be16(out, 10, broadcast ? kBroadcastFlag : 0);
  client.store(out, 12);
  yours.store(out, 16);
  next_server.store(out, 20);
  relay.store(out, 24);
  hardware.store(out, kHardwareOffset);
  store_be32(out, kCookieOffset, kCookie);
  write_options(*this, out.subspan(DhcpView::kMinSize));
}

Parsed<DhcpView> DhcpView::parse(Bytes message) noexcept {
  if (message.size() < kMinSize) return std::unexpected(WireError::kTruncated);
  const std::uint8_t op = load_u8(message, 0);
  if ((op != kRequestOp && op != kReplyOp) || load_u8(message, 1) != kEthernetType ||
      load_u8(message, 2) != MacAddress::kSize || load_be32(message, kCookieOffset) != kCookie) {
    return std::unexpected(WireError::kUnsupported);
  }
  if (!Options(message.subspan(kMinSize)).checked()) return std::unexpected(WireError::kBadOption);
  DhcpView view(message);
  const auto type = view.option(DhcpOption::kMessageType);
  if (!type || (*type)[0] < static_cast<std::uint8_t>(DhcpType::kDiscover) ||
      (*type)[0] > static_cast<std::uint8_t>(DhcpType::kInform)) {
    return std::unexpected(WireError::kUnsupported);
  }
  return view;
}

std::optional<Bytes> DhcpView::option(DhcpOption kind) const noexcept {
  Options options(bytes_.subspan(kMinSize));
  while (const auto found = options.next()) {
    if (found->kind == kind) return found->data;
  }
  return std::nullopt;
}

DhcpFields DhcpView::fields() const noexcept {
  DhcpFields f;
  f.reply = load_u8(bytes_, 0) == kReplyOp;
  f.transaction = load_be32(bytes_, 4);
  f.seconds = load_be16(bytes_, 8);
  f.broadcast = (load_be16(bytes_, 10) & kBroadcastFlag) != 0;
  f.client = Ipv4Address::load(bytes_, 12);
  f.yours = Ipv4Address::load(bytes_, 16);
  f.next_server = Ipv4Address::load(bytes_, 20);
  f.relay = Ipv4Address::load(bytes_, 24);
  f.hardware = MacAddress::load(bytes_, kHardwareOffset);
  const auto address = [&](DhcpOption kind) -> std::optional<Ipv4Address> {
    const auto data = option(kind);
    if (!data) return std::nullopt;
    return Ipv4Address::load(*data, 0);
  };
  const auto number = [&](DhcpOption kind) -> std::optional<std::uint32_t> {
    const auto data = option(kind);
    if (!data) return std::nullopt;
    return load_be32(*data, 0);
  };
  f.type = static_cast<DhcpType>(option(DhcpOption::kMessageType)->front());
  f.requested = address(DhcpOption::kRequestedAddress);
  f.server = address(DhcpOption::kServerId);
  f.lease_seconds = number(DhcpOption::kLeaseTime);
  f.renewal_seconds = number(DhcpOption::kRenewalTime);
  f.rebinding_seconds = number(DhcpOption::kRebindingTime);
  f.mask = address(DhcpOption::kSubnetMask);
  f.router = address(DhcpOption::kRouter);
  f.dns = address(DhcpOption::kDnsServer);
  if (const auto data = option(DhcpOption::kInterfaceMtu)) f.mtu = load_be16(*data, 0);
  return f;
}

std::string to_string(const DhcpFields& fields) {
  std::string text =
      fmt::format("{} {} {}, transaction {:#010x}", to_string(fields.type),
                  fields.reply ? "to" : "from", to_string(fields.hardware), fields.transaction);
  if (!fields.yours.is_unspecified()) text += ", address " + to_string(fields.yours);
  return text;
}

}  // namespace vtl::wire
