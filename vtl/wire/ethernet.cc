#include "vtl/wire/ethernet.h"

#include <fmt/format.h>

namespace vtl::wire {
namespace {

constexpr std::size_t kTypeOffset = 12;

bool is_tag(std::uint16_t type) noexcept {
  return type == static_cast<std::uint16_t>(EtherType::kVlan) ||
         type == static_cast<std::uint16_t>(EtherType::kQinQ);
}

}  // namespace

std::string to_string(EtherType type) {
  switch (type) {
    case EtherType::kIpv4:
      return "IPv4";
    case EtherType::kArp:
      return "ARP";
    case EtherType::kVlan:
      return "802.1Q";
    case EtherType::kIpv6:
      return "IPv6";
    case EtherType::kQinQ:
      return "802.1ad";
  }
  return fmt::format("0x{:04x}", static_cast<unsigned>(type));
}

std::size_t EthernetFields::size() const noexcept {
  return EthernetView::kMinSize + tag_count * VlanTag::kSize;
}

void EthernetFields::emit(MutableBytes out) const noexcept {
  assert(tag_count <= kMaxTags && out.size() >= size());
  destination.store(out, EthernetView::kDestinationOffset);
  source.store(out, EthernetView::kSourceOffset);
  std::size_t at = kTypeOffset;
  for (std::size_t i = 0; i < tag_count; ++i, at += VlanTag::kSize) {
    const VlanTag& tag = tags[i];
    assert(tag.pcp < 8 && tag.vid < 4096);
    store_be16(out, at, static_cast<std::uint16_t>(tag.tpid));
    store_be16(out, at + 2,
               static_cast<std::uint16_t>(tag.pcp << 13 | (tag.dei ? 1 << 12 : 0) | tag.vid));
  }
  store_be16(out, at, static_cast<std::uint16_t>(ether_type));
}

Parsed<EthernetView> EthernetView::parse(Bytes frame) noexcept {
  if (frame.size() < kMinSize) return std::unexpected(WireError::kTruncated);
  std::uint8_t tags = 0;
  while (is_tag(load_be16(frame, kTypeOffset + tags * VlanTag::kSize))) {
    if (tags == EthernetFields::kMaxTags) return std::unexpected(WireError::kTooManyHeaders);
    ++tags;
    if (frame.size() < kMinSize + tags * VlanTag::kSize) {
      return std::unexpected(WireError::kTruncated);
    }
  }
  return EthernetView(frame, tags);
}

VlanTag EthernetView::tag(std::size_t i) const noexcept {
  assert(i < tag_count_);
  const std::size_t at = kTypeOffset + i * VlanTag::kSize;
  const std::uint16_t tci = load_be16(bytes_, at + 2);
  return {static_cast<EtherType>(load_be16(bytes_, at)), static_cast<std::uint8_t>(tci >> 13),
          (tci & 0x1000) != 0, static_cast<std::uint16_t>(tci & 0xfff)};
}

EthernetFields EthernetView::fields() const noexcept {
  EthernetFields f{destination(), source(), tag_count_, {}, ether_type()};
  for (std::size_t i = 0; i < tag_count_; ++i) f.tags[i] = tag(i);
  return f;
}

std::string to_string(const EthernetFields& f) {
  std::string out = fmt::format("{} > {}", to_string(f.source), to_string(f.destination));
  for (std::size_t i = 0; i < f.tag_count; ++i) {
    fmt::format_to(std::back_inserter(out), " {} {}",
                   f.tags[i].tpid == EtherType::kQinQ ? "s-vlan" : "vlan", f.tags[i].vid);
    if (f.tags[i].pcp != 0) fmt::format_to(std::back_inserter(out), " pcp {}", f.tags[i].pcp);
  }
  return out + " " + to_string(f.ether_type);
}

}  // namespace vtl::wire
