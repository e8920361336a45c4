// The byte format of TcpModel, version 1: version, IP, Ethernet, then for each end next, ack,
// limit, timestamp (32 bits each), window, MSS, port (16 bits each), scale, facts. Network byte
// order.
#include "vtl/model/tcp_model.h"

namespace vtl::model {
namespace {

constexpr std::size_t kIpAt = 1;
constexpr std::size_t kEthernetAt = kIpAt + IpModel::kSerialisedSize;
constexpr std::size_t kEndsAt = kEthernetAt + EthernetModel::kSerialisedSize;
constexpr std::size_t kEndSize = 24;

void store(const TcpEnd& end, MutableBytes out) noexcept {
  store_be32(out, 0, end.next.value());
  store_be32(out, 4, end.ack.value());
  store_be32(out, 8, end.limit.value());
  store_be32(out, 12, end.timestamp);
  store_be16(out, 16, end.window);
  store_be16(out, 18, end.mss);
  store_be16(out, 20, end.port);
  store_u8(out, 22, end.scale);
  store_u8(out, 23, end.facts);
}

TcpEnd load(Bytes bytes) noexcept {
  return {wire::SeqNum(load_be32(bytes, 0)),
          wire::SeqNum(load_be32(bytes, 4)),
          wire::SeqNum(load_be32(bytes, 8)),
          load_be32(bytes, 12),
          load_be16(bytes, 16),
          load_be16(bytes, 18),
          load_be16(bytes, 20),
          load_u8(bytes, 22),
          load_u8(bytes, 23)};
}

// The invariants of tcp_end.h, so that bytes from elsewhere cannot make an impossible model.
bool is_possible(const TcpEnd& self, const TcpEnd& peer) noexcept {
  if (self.scale > TcpEnd::kMaxScale && self.scale != TcpEnd::kNoScale &&
      self.scale != TcpEnd::kScaleUnknown) {
    return false;
  }
  const bool spoken = self.has(TcpEnd::kSeqKnown);
  if (!spoken && (self.facts & (TcpEnd::kAckKnown | TcpEnd::kFinSent | TcpEnd::kClosedSecond))) {
    return false;
  }
  if (self.has(TcpEnd::kClosedSecond) && !both(self, peer, TcpEnd::kFinSent)) return false;
  if (!self.has(TcpEnd::kAckKnown)) return true;
  return peer.has(TcpEnd::kSeqKnown) && self.ack <= peer.next && self.limit >= self.ack;
}

}  // namespace

void TcpModel::serialise(MutableBytes out) const noexcept {
  assert(out.size() >= kSerialisedSize);
  store_u8(out, 0, kVersion);
  ip_.serialise(out.subspan(kIpAt));
  ethernet_.serialise(out.subspan(kEthernetAt));
  store(ends_[0], out.subspan(kEndsAt));
  store(ends_[1], out.subspan(kEndsAt + kEndSize));
}

wire::Parsed<TcpModel> TcpModel::deserialise(Bytes bytes) noexcept {
  if (bytes.empty()) return std::unexpected(wire::WireError::kTruncated);
  if (load_u8(bytes, 0) != kVersion) return std::unexpected(wire::WireError::kUnsupported);
  if (bytes.size() < kSerialisedSize) return std::unexpected(wire::WireError::kTruncated);
  const auto ip = IpModel::deserialise(bytes.subspan(kIpAt));
  if (!ip) return std::unexpected(ip.error());
  const auto ethernet = EthernetModel::deserialise(bytes.subspan(kEthernetAt));
  if (!ethernet) return std::unexpected(ethernet.error());
  TcpModel model;
  model.ip_ = *ip;
  model.ethernet_ = *ethernet;
  model.ends_ = {load(bytes.subspan(kEndsAt)), load(bytes.subspan(kEndsAt + kEndSize))};
  const bool same_end = model.ip_.address(End::kA) == model.ip_.address(End::kB) &&
                        model.ends_[0].port == model.ends_[1].port;
  if (same_end || !is_possible(model.ends_[0], model.ends_[1]) ||
      !is_possible(model.ends_[1], model.ends_[0])) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  return model;
}

}  // namespace vtl::model
