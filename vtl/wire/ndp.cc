#include "vtl/wire/ndp.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtl::wire {
namespace {

constexpr std::size_t kUnit = 8;  // options are counted in units of eight octets
constexpr std::size_t kLinkOptionSize = 8;
constexpr std::size_t kPrefixDataSize = 30;
constexpr std::size_t kMtuOptionSize = 8, kPrefixOptionSize = 32, kDnsOptionSize = 24;
constexpr std::size_t kDnsHead = 6;                         // of the data: reserved, lifetime
constexpr std::uint8_t kManaged = 0x80, kOther = 0x40;      // of a router advertisement
constexpr std::uint8_t kOnLink = 0x80, kAutonomous = 0x40;  // of a prefix
constexpr std::uint8_t kRouter = 0x80, kSolicited = 0x40, kOverride = 0x20;

bool options_well_formed(Bytes options) noexcept {
  std::size_t at = 0;
  while (at < options.size()) {
    if (options.size() - at < 2) return false;
    const std::size_t length = options[at + 1] * kUnit;
    if (length == 0 || length > options.size() - at) return false;
    at += length;
  }
  return true;
}

Parsed<Icmpv6Type> checked_type(Bytes message, std::size_t min_size) noexcept {
  if (message.empty()) return std::unexpected(WireError::kTruncated);
  const auto type = static_cast<Icmpv6Type>(message[0]);
  if (message.size() < min_size) return std::unexpected(WireError::kTruncated);
  if (!options_well_formed(message.subspan(min_size))) {
    return std::unexpected(WireError::kBadOption);
  }
  return type;
}

}  // namespace

std::optional<NdpOption> NdpOptionIterator::next() noexcept {
  if (left_.empty()) return std::nullopt;
  const std::size_t length = left_[1] * kUnit;
  const NdpOption option{static_cast<NdpOptionType>(left_[0]), left_.subspan(2, length - 2)};
  left_ = left_.subspan(length);
  return option;
}

std::optional<MacAddress> link_address(const NdpOption& option) noexcept {
  if (option.type != NdpOptionType::kSourceLinkAddress &&
      option.type != NdpOptionType::kTargetLinkAddress) {
    return std::nullopt;
  }
  return MacAddress::load(option.data, 0);
}

std::optional<NdpPrefix> prefix(const NdpOption& option) noexcept {
  if (option.type != NdpOptionType::kPrefix || option.data.size() != kPrefixDataSize ||
      option.data[0] > 128) {
    return std::nullopt;
  }
  return NdpPrefix{option.data[0],
                   (option.data[1] & kOnLink) != 0,
                   (option.data[1] & kAutonomous) != 0,
                   load_be32(option.data, 2),
                   load_be32(option.data, 6),
                   Ipv6Address::load(option.data, 14)};
}

std::optional<NdpResolvers> resolvers(const NdpOption& option) noexcept {
  if (option.type != NdpOptionType::kRecursiveDns ||
      option.data.size() < kDnsHead + Ipv6Address::kSize) {
    return std::nullopt;
  }
  const Bytes addresses = option.data.subspan(kDnsHead);
  return NdpResolvers{load_be32(option.data, 2),
                      addresses.first(addresses.size() - addresses.size() % Ipv6Address::kSize)};
}

std::size_t NeighbourFields::size() const noexcept {
  return NeighbourView::kMinSize + (link_address ? kLinkOptionSize : 0);
}

void NeighbourFields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= size());
  assert(advertisement || !(router || solicited || override_));
  store_u8(out, 0,
           static_cast<std::uint8_t>(advertisement ? Icmpv6Type::kNeighbourAdvertisement
                                                   : Icmpv6Type::kNeighbourSolicitation));
  store_u8(out, 1, 0);
  store_be16(out, Icmpv6View::kChecksumOffset, 0);
  store_be32(out, 4, 0);
  store_u8(out, 4,
           static_cast<std::uint8_t>((router ? kRouter : 0) | (solicited ? kSolicited : 0) |
                                     (override_ ? kOverride : 0)));
  target.store(out, 8);
  if (!link_address) return;
  store_u8(out, NeighbourView::kMinSize,
           static_cast<std::uint8_t>(advertisement ? NdpOptionType::kTargetLinkAddress
                                                   : NdpOptionType::kSourceLinkAddress));
  store_u8(out, NeighbourView::kMinSize + 1, kLinkOptionSize / kUnit);
  link_address->store(out, NeighbourView::kMinSize + 2);
}

Parsed<NeighbourView> NeighbourView::parse(Bytes message) noexcept {
  const auto type = checked_type(message, kMinSize);
  if (!type) return std::unexpected(type.error());
  if (*type != Icmpv6Type::kNeighbourSolicitation && *type != Icmpv6Type::kNeighbourAdvertisement) {
    return std::unexpected(WireError::kUnsupported);
  }
  return NeighbourView(message);
}

NeighbourFields NeighbourView::fields() const noexcept {
  NeighbourFields f;
  f.advertisement = is_advertisement();
  if (f.advertisement) {
    const std::uint8_t flags = load_u8(bytes_, 4);
    f.router = (flags & kRouter) != 0;
    f.solicited = (flags & kSolicited) != 0;
    f.override_ = (flags & kOverride) != 0;
  }
  f.target = target();
  const auto wanted =
      f.advertisement ? NdpOptionType::kTargetLinkAddress : NdpOptionType::kSourceLinkAddress;
  for (auto it = options(); const auto option = it.next();) {
    if (option->type == wanted && !f.link_address) f.link_address = wire::link_address(*option);
  }
  return f;
}

Parsed<RouterAdvertisementView> RouterAdvertisementView::parse(Bytes message) noexcept {
  const auto type = checked_type(message, kMinSize);
  if (!type) return std::unexpected(type.error());
  if (*type != Icmpv6Type::kRouterAdvertisement) return std::unexpected(WireError::kUnsupported);
  return RouterAdvertisementView(message);
}

std::optional<MacAddress> RouterAdvertisementView::source_link_address() const noexcept {
  for (auto it = options(); const auto option = it.next();) {
    if (option->type == NdpOptionType::kSourceLinkAddress) return link_address(*option);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> RouterAdvertisementView::mtu() const noexcept {
  for (auto it = options(); const auto option = it.next();) {
    if (option->type == NdpOptionType::kMtu) return load_be32(option->data, 2);
  }
  return std::nullopt;
}

RouterAdvertisementFields RouterAdvertisementView::fields() const noexcept {
  RouterAdvertisementFields f;
  f.hop_limit = hop_limit();
  f.managed = managed();
  f.other = other();
  f.lifetime_seconds = lifetime_seconds();
  f.reachable_ms = reachable_ms();
  f.retransmit_ms = retransmit_ms();
  f.source_link_address = source_link_address();
  f.mtu = mtu();
  for (auto it = options(); const auto option = it.next();) {
    if (!f.prefix) f.prefix = wire::prefix(*option);
    if (const auto found = resolvers(*option); found && !f.dns) {
      f.dns = found->address(0);
      f.dns_seconds = found->lifetime_seconds;
    }
  }
  return f;
}

std::size_t RouterAdvertisementFields::size() const noexcept {
  return RouterAdvertisementView::kMinSize + (source_link_address ? kLinkOptionSize : 0) +
         (mtu ? kMtuOptionSize : 0) + (prefix ? kPrefixOptionSize : 0) + (dns ? kDnsOptionSize : 0);
}

void RouterAdvertisementFields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= size());
  std::fill_n(out.begin(), size(), std::uint8_t{0});
  store_u8(out, 0, static_cast<std::uint8_t>(Icmpv6Type::kRouterAdvertisement));
  store_u8(out, 4, hop_limit);
  store_u8(out, 5, static_cast<std::uint8_t>((managed ? kManaged : 0) | (other ? kOther : 0)));
  store_be16(out, 6, lifetime_seconds);
  store_be32(out, 8, reachable_ms);
  store_be32(out, 12, retransmit_ms);
  std::size_t at = RouterAdvertisementView::kMinSize;
  const auto begin = [&](NdpOptionType type, std::size_t size) {
    store_u8(out, at, static_cast<std::uint8_t>(type));
    store_u8(out, at + 1, static_cast<std::uint8_t>(size / kUnit));
    const MutableBytes data = out.subspan(at + 2, size - 2);
    at += size;
    return data;
  };
  if (source_link_address) {
    source_link_address->store(begin(NdpOptionType::kSourceLinkAddress, kLinkOptionSize), 0);
  }
  if (mtu) store_be32(begin(NdpOptionType::kMtu, kMtuOptionSize), 2, *mtu);
  if (prefix) {
    const MutableBytes data = begin(NdpOptionType::kPrefix, kPrefixOptionSize);
    store_u8(data, 0, prefix->length);
    store_u8(data, 1,
             static_cast<std::uint8_t>((prefix->on_link ? kOnLink : 0) |
                                       (prefix->autonomous ? kAutonomous : 0)));
    store_be32(data, 2, prefix->valid_seconds);
    store_be32(data, 6, prefix->preferred_seconds);
    prefix->prefix.store(data, 14);
  }
  if (dns) {
    const MutableBytes data = begin(NdpOptionType::kRecursiveDns, kDnsOptionSize);
    store_be32(data, 2, dns_seconds);
    dns->store(data, kDnsHead);
  }
}

std::string to_string(const NeighbourFields& f) {
  if (!f.advertisement) {
    return fmt::format("who has {}{}", to_string(f.target),
                       f.link_address ? " (from " + to_string(*f.link_address) + ")" : "");
  }
  return fmt::format("{} is at {}{}{}{}", to_string(f.target),
                     f.link_address ? to_string(*f.link_address) : "its sender",
                     f.router ? ", router" : "", f.solicited ? ", solicited" : "",
                     f.override_ ? ", override" : "");
}

std::string to_string(const RouterAdvertisementView& view) {
  std::string out =
      fmt::format("router lifetime {} s, hop limit {}", view.lifetime_seconds(), view.hop_limit());
  if (const auto mtu = view.mtu()) fmt::format_to(std::back_inserter(out), ", mtu {}", *mtu);
  for (auto it = view.options(); const auto option = it.next();) {
    if (const auto p = prefix(*option)) {
      fmt::format_to(std::back_inserter(out), ", prefix {}/{}", to_string(p->prefix), p->length);
    }
    if (const auto found = resolvers(*option)) {
      fmt::format_to(std::back_inserter(out), ", resolver {}", to_string(found->address(0)));
    }
  }
  return out;
}

}  // namespace vtl::wire
