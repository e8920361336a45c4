#include "vtl/model/ip_model.h"

#include <algorithm>

namespace vtl::model {
namespace {

constexpr std::uint8_t kDontFragment = 0x01;

std::array<std::uint8_t, 16> octets(const wire::IpAddress& address) noexcept {
  std::array<std::uint8_t, 16> out{};
  if (address.is_v4()) {
    address.v4().store(out, 0);
  } else {
    address.v6().store(out, 0);
  }
  return out;
}

}  // namespace

IpModel::IpModel(const wire::IpAddress& a, const wire::IpAddress& b) noexcept
    : address_{octets(a), octets(b)},
      bits_{kDontFragment, kDontFragment},
      version_(static_cast<std::uint8_t>(a.version())) {
  assert(a.version() == b.version() && a.version() != 0);
}

IpModel::IpModel(const Frame& first) noexcept : IpModel(first.source, first.destination) {
  sync(End::kA, first);
}

std::optional<End> IpModel::match(const Frame& frame) const noexcept {
  if (frame.source.version() != version_) return std::nullopt;
  for (const End from : {End::kA, End::kB}) {
    if (frame.source == address(from) && frame.destination == address(other(from))) return from;
  }
  return std::nullopt;
}

void IpModel::sync(End from, const Frame& frame) noexcept {
  const std::size_t i = index(from);
  label_[i] = frame.label;
  ttl_[i] = frame.ttl;
  bits_[i] = static_cast<std::uint8_t>(frame.dscp << 2 | (frame.dont_fragment ? kDontFragment : 0));
}

std::size_t IpModel::header_size() const noexcept {
  return is_v4() ? wire::Ipv4View::kMinSize : wire::Ipv6View::kSize;
}

void IpModel::create(End from, wire::IpProtocol protocol, std::size_t payload,
                     MutableBytes out) noexcept {
  const std::size_t i = index(from);
  const auto dscp = static_cast<std::uint8_t>(bits_[i] >> 2);
  const auto length = static_cast<std::uint16_t>(payload);
  if (!is_v4()) {
    const wire::Ipv6Fields fields{address(from).v6(),
                                  address(other(from)).v6(),
                                  protocol,
                                  ttl_[i],
                                  dscp,
                                  wire::Ecn::kNotEct,
                                  label_[i],
                                  length};
    fields.emit(out);
    return;
  }
  set_label(from, label_[i] + 1);
  wire::Ipv4Fields fields;
  fields.source = address(from).v4();
  fields.destination = address(other(from)).v4();
  fields.protocol = protocol;
  fields.ttl = ttl_[i];
  fields.dscp = dscp;
  fields.identification = static_cast<std::uint16_t>(label_[i]);
  fields.dont_fragment = (bits_[i] & kDontFragment) != 0;
  fields.payload_length = length;
  fields.emit(out);
}

wire::IpAddress IpModel::address(End end) const noexcept {
  const auto& o = address_[index(end)];
  if (is_v4()) return wire::Ipv4Address::load(o, 0);
  return wire::Ipv6Address(o);
}

void IpModel::set_label(End end, std::uint32_t label) noexcept {
  label_[index(end)] = label & (is_v4() ? 0xffff : 0xfffff);
}

IpModel IpModel::swapped() const noexcept {
  IpModel out = *this;
  std::swap(out.label_[0], out.label_[1]);
  std::swap(out.address_[0], out.address_[1]);
  std::swap(out.ttl_[0], out.ttl_[1]);
  std::swap(out.bits_[0], out.bits_[1]);
  return out;
}

void IpModel::serialise(MutableBytes out) const noexcept {
  store_u8(out, 0, version_);
  for (std::size_t i = 0; i < 2; ++i) {
    wire::Ipv6Address(address_[i]).store(out, 1 + 16 * i);
    store_be32(out, 33 + 4 * i, label_[i]);
    store_u8(out, 41 + i, ttl_[i]);
    store_u8(out, 43 + i, bits_[i]);
  }
}

wire::Parsed<IpModel> IpModel::deserialise(Bytes bytes) noexcept {
  if (bytes.size() < kSerialisedSize) return std::unexpected(wire::WireError::kTruncated);
  IpModel out;
  out.version_ = load_u8(bytes, 0);
  if (out.version_ != 4 && out.version_ != 6) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    out.address_[i] = wire::Ipv6Address::load(bytes, 1 + 16 * i).octets();
    out.set_label(static_cast<End>(i), load_be32(bytes, 33 + 4 * i));
    out.ttl_[i] = load_u8(bytes, 41 + i);
    out.bits_[i] = load_u8(bytes, 43 + i);
  }
  return out;
}

}  // namespace vtl::model
