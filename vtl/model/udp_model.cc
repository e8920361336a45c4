#include "vtl/model/udp_model.h"

#include <algorithm>

#include "vtl/wire/checksum.h"
#include "vtl/wire/udp.h"

namespace vtl::model {

using wire::UdpFields;
using wire::UdpView;

wire::Parsed<UdpModel> UdpModel::initialise(Bytes bytes) noexcept {
  const auto frame = parse_frame(bytes);
  if (!frame) return std::unexpected(frame.error());
  if (frame->protocol != wire::IpProtocol::kUdp) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  const auto udp = UdpView::parse(frame->transport);
  if (!udp) return std::unexpected(udp.error());
  UdpModel model;
  model.ip_ = IpModel(*frame);
  model.ethernet_ = EthernetModel(frame->ethernet);
  model.ports_ = {udp->source(), udp->destination()};
  return model;
}

std::optional<End> UdpModel::match(const Frame& frame) const noexcept {
  if (frame.protocol != wire::IpProtocol::kUdp || !ethernet_.match(frame.ethernet)) {
    return std::nullopt;
  }
  const auto udp = UdpView::parse(frame.transport);
  if (!udp) return std::nullopt;
  for (const End from : {End::kA, End::kB}) {
    if (frame.source == ip_.address(from) && frame.destination == ip_.address(other(from)) &&
        udp->source() == ports_[index(from)] && udp->destination() == ports_[index(other(from))]) {
      return from;
    }
  }
  return std::nullopt;
}

std::optional<End> UdpModel::match(Bytes bytes) const noexcept {
  const auto frame = parse_frame(bytes);
  return frame ? match(*frame) : std::nullopt;
}

bool UdpModel::sync(Bytes bytes) noexcept {
  const auto frame = parse_frame(bytes);
  if (!frame) return false;
  const auto from = match(*frame);
  if (!from) return false;
  ethernet_.sync(*from, frame->ethernet);
  ip_.sync(*from, *frame);
  return true;
}

Result<std::size_t, CreateError> UdpModel::create(End from, Bytes payload,
                                                  MutableBytes out) noexcept {
  const wire::EthernetFields ethernet = ethernet_.create(from, ip_.ether_type());
  const std::size_t transport = UdpFields::kSize + payload.size();
  const std::size_t headers = ethernet.size() + ip_.header_size();
  if (ip_.header_size() + transport > 65535) return std::unexpected(CreateError::kPayloadTooLarge);
  if (out.size() < headers + transport) return std::unexpected(CreateError::kNoRoom);
  ethernet.emit(out);
  ip_.create(from, wire::IpProtocol::kUdp, transport, out.subspan(ethernet.size()));
  const MutableBytes datagram = out.subspan(headers, transport);
  const UdpFields fields{ports_[index(from)], ports_[index(other(from))],
                         static_cast<std::uint16_t>(payload.size())};
  fields.emit(datagram);
  std::ranges::copy(payload, datagram.begin() + UdpFields::kSize);
  store_be16(datagram, UdpView::kChecksumOffset,
             wire::transport_checksum(ip_.address(from), ip_.address(other(from)),
                                      wire::IpProtocol::kUdp, datagram));
  return headers + transport;
}

wire::FlowKey UdpModel::flow(End from) const noexcept {
  return {{ip_.address(from), ports_[index(from)]},
          {ip_.address(other(from)), ports_[index(other(from))]},
          wire::IpProtocol::kUdp,
          ethernet_.vlan()};
}

UdpModel UdpModel::swapped() const noexcept {
  UdpModel out;
  out.ip_ = ip_.swapped();
  out.ethernet_ = ethernet_.swapped();
  out.ports_ = {ports_[1], ports_[0]};
  return out;
}

}  // namespace vtl::model
