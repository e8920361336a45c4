#include "vtl/model/icmp_echo_model.h"

#include <algorithm>

#include "vtl/wire/checksum.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"

namespace vtl::model {
namespace {

using namespace wire;

struct EchoMessage {
  Echo kind = Echo::kRequest;
  std::uint16_t identifier = 0;
  std::uint16_t sequence = 0;
};

template <class View>
Parsed<EchoMessage> read_echo(Bytes bytes) noexcept {
  const auto view = View::parse(bytes);
  if (!view) return std::unexpected(view.error());
  const auto fields = view->fields();
  if (!fields.is_echo()) return std::unexpected(WireError::kUnsupported);
  const bool is_reply = fields.type == decltype(fields.type)::kEchoReply;
  return EchoMessage{is_reply ? Echo::kReply : Echo::kRequest, fields.identifier(),
                     fields.sequence()};
}

Parsed<EchoMessage> read_echo(const Frame& frame) noexcept {
  if (frame.protocol == IpProtocol::kIcmp && frame.source.is_v4()) {
    return read_echo<Icmpv4View>(frame.transport);
  }
  if (frame.protocol == IpProtocol::kIcmpv6 && frame.source.is_v6()) {
    return read_echo<Icmpv6View>(frame.transport);
  }
  return std::unexpected(WireError::kUnsupported);
}

void emit_echo(bool v4, Echo kind, std::uint16_t identifier, std::uint16_t sequence,
               MutableBytes out) noexcept {
  const bool is_reply = kind == Echo::kReply;
  if (v4) {
    Icmpv4Fields::echo(is_reply ? Icmpv4Type::kEchoReply : Icmpv4Type::kEchoRequest, identifier,
                       sequence)
        .emit(out);
  } else {
    Icmpv6Fields::echo(is_reply ? Icmpv6Type::kEchoReply : Icmpv6Type::kEchoRequest, identifier,
                       sequence)
        .emit(out);
  }
}

}  // namespace

Parsed<IcmpEchoModel> IcmpEchoModel::initialise(Bytes bytes) noexcept {
  const auto frame = parse_frame(bytes);
  if (!frame) return std::unexpected(frame.error());
  const auto echo = read_echo(*frame);
  if (!echo) return std::unexpected(echo.error());
  IcmpEchoModel model;
  model.ip_ = IpModel(*frame);
  model.ethernet_ = EthernetModel(frame->ethernet);
  model.identifier_ = echo->identifier;
  model.follow(End::kA, echo->kind, echo->sequence);
  return model;
}

std::optional<End> IcmpEchoModel::match(Bytes bytes) const noexcept {
  const auto frame = parse_frame(bytes);
  if (!frame || !ethernet_.match(frame->ethernet)) return std::nullopt;
  const auto echo = read_echo(*frame);
  if (!echo || echo->identifier != identifier_) return std::nullopt;
  return ip_.match(*frame);
}

bool IcmpEchoModel::sync(Bytes bytes) noexcept {
  const auto from = match(bytes);
  if (!from) return false;
  const auto frame = parse_frame(bytes);
  const auto echo = read_echo(*frame);
  ethernet_.sync(*from, frame->ethernet);
  ip_.sync(*from, *frame);
  follow(*from, echo->kind, echo->sequence);
  return true;
}

void IcmpEchoModel::follow(End from, Echo kind, std::uint16_t sequence) noexcept {
  if (kind == Echo::kRequest) {
    ends_[index(from)] = {sequence, true, false};
    return;
  }
  EndState& asker = ends_[index(other(from))];
  if (asker.requested && asker.sequence == sequence) asker.answered = true;
}

Result<std::size_t, CreateError> IcmpEchoModel::create(End from, Echo kind, Bytes data,
                                                       MutableBytes out) noexcept {
  const EndState& asker = ends_[index(kind == Echo::kRequest ? from : other(from))];
  if (kind == Echo::kReply && !asker.requested) {
    return std::unexpected(CreateError::kNotSynchronised);
  }
  const auto sequence = static_cast<std::uint16_t>(
      kind == Echo::kRequest && asker.requested ? asker.sequence + 1 : asker.sequence);
  const EthernetFields ethernet = ethernet_.create(from, ip_.ether_type());
  const std::size_t transport = Icmpv4Fields::kSize + data.size();
  const std::size_t headers = ethernet.size() + ip_.header_size();
  if (ip_.header_size() + transport > 65535) return std::unexpected(CreateError::kPayloadTooLarge);
  if (out.size() < headers + transport) return std::unexpected(CreateError::kNoRoom);
  const IpProtocol protocol = ip_.is_v4() ? IpProtocol::kIcmp : IpProtocol::kIcmpv6;
  ethernet.emit(out);
  ip_.create(from, protocol, transport, out.subspan(ethernet.size()));
  const MutableBytes message = out.subspan(headers, transport);
  emit_echo(ip_.is_v4(), kind, identifier_, sequence, message);
  std::ranges::copy(data, message.begin() + Icmpv4Fields::kSize);
  store_be16(message, Icmpv4View::kChecksumOffset,
             transport_checksum(ip_.address(from), ip_.address(other(from)), protocol, message));
  follow(from, kind, sequence);
  return headers + transport;
}

std::optional<std::uint16_t> IcmpEchoModel::last_request(End end) const noexcept {
  const EndState& state = ends_[index(end)];
  if (!state.requested) return std::nullopt;
  return state.sequence;
}

IcmpEchoModel IcmpEchoModel::swapped() const noexcept {
  IcmpEchoModel out = *this;
  out.ip_ = ip_.swapped();
  out.ethernet_ = ethernet_.swapped();
  std::swap(out.ends_[0], out.ends_[1]);
  return out;
}

}  // namespace vtl::model
