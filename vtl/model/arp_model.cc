#include "vtl/model/arp_model.h"

#include <utility>

namespace vtl::model {
namespace {

struct ArpFrame {
  wire::EthernetFields ethernet;
  wire::ArpFields arp;
};

wire::Parsed<ArpFrame> read(Bytes frame) noexcept {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return std::unexpected(ethernet.error());
  if (ethernet->ether_type() != wire::EtherType::kArp) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  const auto arp = wire::ArpView::parse(ethernet->payload());
  if (!arp) return std::unexpected(arp.error());
  return ArpFrame{ethernet->fields(), arp->fields()};
}

}  // namespace

ArpModel::ArpModel(wire::MacAddress mac_a, wire::Ipv4Address ip_a, wire::MacAddress mac_b,
                   wire::Ipv4Address ip_b) noexcept
    : ends_{{{mac_a, ip_a}, {mac_b, ip_b}}} {}

wire::Parsed<ArpModel> ArpModel::initialise(Bytes frame) noexcept {
  const auto read_frame = read(frame);
  if (!read_frame) return std::unexpected(read_frame.error());
  const wire::ArpFields& arp = read_frame->arp;
  ArpModel model;
  model.ends_ = {
      {{arp.sender_mac, arp.sender_ip},
       {arp.operation == wire::ArpOperation::kReply ? arp.target_mac : wire::MacAddress{},
        arp.target_ip}}};
  model.ethernet_ = EthernetModel(read_frame->ethernet);
  return model;
}

std::optional<End> ArpModel::match(Bytes frame) const noexcept {
  const auto read_frame = read(frame);
  if (!read_frame || !ethernet_.match(read_frame->ethernet)) return std::nullopt;
  for (const End from : {End::kA, End::kB}) {
    if (read_frame->arp.sender_ip == ip(from) && read_frame->arp.target_ip == ip(other(from))) {
      return from;
    }
  }
  return std::nullopt;
}

bool ArpModel::sync(Bytes frame) noexcept {
  const auto from = match(frame);
  if (!from) return false;
  ends_[index(*from)].mac = read(frame)->arp.sender_mac;
  return true;
}

Result<std::size_t, CreateError> ArpModel::create(End from, wire::ArpOperation operation,
                                                  MutableBytes out) const noexcept {
  const bool is_reply = operation == wire::ArpOperation::kReply;
  if (mac(from).is_zero() || (is_reply && mac(other(from)).is_zero())) {
    return std::unexpected(CreateError::kNotSynchronised);
  }
  wire::EthernetFields ethernet = ethernet_.create(from, wire::EtherType::kArp);
  ethernet.source = mac(from);
  ethernet.destination = is_reply ? mac(other(from)) : wire::MacAddress::broadcast();
  const std::size_t size = ethernet.size() + wire::ArpFields::kSize;
  if (out.size() < size) return std::unexpected(CreateError::kNoRoom);
  ethernet.emit(out);
  const wire::ArpFields arp{operation, mac(from), ip(from),
                            is_reply ? mac(other(from)) : wire::MacAddress{}, ip(other(from))};
  arp.emit(out.subspan(ethernet.size()));
  return size;
}

ArpModel ArpModel::swapped() const noexcept {
  ArpModel model = *this;
  std::swap(model.ends_[0], model.ends_[1]);
  model.ethernet_ = ethernet_.swapped();
  return model;
}

}  // namespace vtl::model
