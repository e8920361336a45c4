#include "vtl/model/ethernet_model.h"

#include <algorithm>

namespace vtl::model {
namespace {

constexpr std::uint8_t kCountMask = 0x03;

std::uint16_t control_information(const wire::VlanTag& tag) noexcept {
  return static_cast<std::uint16_t>(tag.pcp << 13 | (tag.dei ? 0x1000 : 0) | tag.vid);
}

}  // namespace

EthernetModel::EthernetModel(const wire::EthernetFields& first) noexcept
    : tag_bits_(first.tag_count) {
  ends_[index(End::kB)] = {first.destination, first.source};
  for (std::size_t i = 0; i < first.tag_count; ++i) {
    if (first.tags[i].tpid == wire::EtherType::kQinQ) {
      tag_bits_ = static_cast<std::uint8_t>(tag_bits_ | 4U << i);
    }
  }
  sync(End::kA, first);
}

bool EthernetModel::match(const wire::EthernetFields& frame) const noexcept {
  if (frame.tag_count != (tag_bits_ & kCountMask)) return false;
  for (std::size_t i = 0; i < frame.tag_count; ++i) {
    if (frame.tags[i].vid != (tags_[i] & 0xfff)) return false;
  }
  return true;
}

void EthernetModel::sync(End from, const wire::EthernetFields& frame) noexcept {
  ends_[index(from)] = {frame.source, frame.destination};
  for (std::size_t i = 0; i < frame.tag_count; ++i) tags_[i] = control_information(frame.tags[i]);
}

wire::EthernetFields EthernetModel::create(End from, wire::EtherType type) const noexcept {
  const EndState& end = ends_[index(from)];
  wire::EthernetFields f{
      end.destination, end.source, static_cast<std::uint8_t>(tag_bits_ & kCountMask), {}, type};
  for (std::size_t i = 0; i < f.tag_count; ++i) {
    f.tags[i] = {(tag_bits_ & 4U << i) != 0 ? wire::EtherType::kQinQ : wire::EtherType::kVlan,
                 static_cast<std::uint8_t>(tags_[i] >> 13), (tags_[i] & 0x1000) != 0,
                 static_cast<std::uint16_t>(tags_[i] & 0xfff)};
  }
  return f;
}

std::uint16_t EthernetModel::vlan() const noexcept {
  return (tag_bits_ & kCountMask) > 0 ? tags_[0] & 0xfff : 0;
}

EthernetModel EthernetModel::swapped() const noexcept {
  EthernetModel out = *this;
  std::swap(out.ends_[0], out.ends_[1]);
  return out;
}

void EthernetModel::serialise(MutableBytes out) const noexcept {
  for (std::size_t i = 0; i < 2; ++i) {
    ends_[i].source.store(out, 12 * i);
    ends_[i].destination.store(out, 12 * i + 6);
    store_be16(out, 24 + 2 * i, tags_[i]);
  }
  store_u8(out, 28, tag_bits_);
}

wire::Parsed<EthernetModel> EthernetModel::deserialise(Bytes bytes) noexcept {
  if (bytes.size() < kSerialisedSize) return std::unexpected(wire::WireError::kTruncated);
  EthernetModel out;
  for (std::size_t i = 0; i < 2; ++i) {
    out.ends_[i] = {wire::MacAddress::load(bytes, 12 * i),
                    wire::MacAddress::load(bytes, 12 * i + 6)};
    out.tags_[i] = load_be16(bytes, 24 + 2 * i);
  }
  out.tag_bits_ = load_u8(bytes, 28);
  if ((out.tag_bits_ & kCountMask) > wire::EthernetFields::kMaxTags || out.tag_bits_ >= 16) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  return out;
}

}  // namespace vtl::model
