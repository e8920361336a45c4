#include "vtl/model/tcp_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "vtl/wire/checksum.h"

namespace vtl::model {
namespace {

using wire::TcpFields;
using wire::TcpFlags;
using wire::TcpView;

constexpr std::size_t kMaxIpPacket = 65535;
constexpr std::uint16_t kTimestampRoom = 12;  // RFC 7323 appendix A, with its padding

struct TcpFrame {
  Frame frame;
  TcpFields segment;
  std::uint32_t payload = 0;
};

wire::Parsed<TcpFrame> read(Bytes bytes, bool super_frame) noexcept {
  const auto frame = parse_frame(bytes, super_frame);
  if (!frame) return std::unexpected(frame.error());
  if (frame->protocol != wire::IpProtocol::kTcp) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  const auto tcp = TcpView::parse(frame->transport);
  if (!tcp) return std::unexpected(tcp.error());
  return TcpFrame{*frame, tcp->fields(), static_cast<std::uint32_t>(tcp->payload().size())};
}

TcpEnd end_from(const TcpEndSetup& setup) noexcept {
  TcpEnd end;
  end.next = setup.next;
  end.window = setup.window;
  end.mss = setup.mss;
  end.port = setup.address.port.value();
  end.scale =
      setup.window_scale ? std::min(*setup.window_scale, TcpEnd::kMaxScale) : TcpEnd::kNoScale;
  if (setup.sack_permitted) end.set(TcpEnd::kSackPermitted);
  if (setup.timestamp) {
    end.set(TcpEnd::kTimestamps);
    end.timestamp = *setup.timestamp;
  }
  return end;
}

// `self` as it stands when the handshake is over and all is acknowledged.
void establish(TcpEnd& self, const TcpEnd& peer) noexcept {
  self.set(TcpEnd::kSeqKnown | TcpEnd::kAckKnown | TcpEnd::kSynSent);
  self.ack = peer.next;
  self.limit =
      self.ack + (static_cast<std::uint32_t>(self.window) << window_shift(self, peer).value_or(0));
}

}  // namespace

wire::Parsed<TcpModel> TcpModel::initialise(Bytes bytes, bool super_frame) noexcept {
  const auto read_frame = read(bytes, super_frame);
  if (!read_frame) return std::unexpected(read_frame.error());
  const TcpFields& segment = read_frame->segment;
  if (segment.flags.rst()) return std::unexpected(wire::WireError::kUnsupported);
  if (read_frame->frame.source == read_frame->frame.destination &&
      segment.source == segment.destination) {
    return std::unexpected(wire::WireError::kUnsupported);
  }
  TcpModel model;
  model.ip_ = IpModel(read_frame->frame);
  model.ethernet_ = EthernetModel(read_frame->frame.ethernet);
  TcpEnd& a = model.tcp(End::kA);
  TcpEnd& b = model.tcp(End::kB);
  a.port = segment.source.value();
  b.port = segment.destination.value();
  if (segment.flags.ack()) {
    // B has spoken before: at least as far as A acknowledges.
    b.set(TcpEnd::kSeqKnown | TcpEnd::kSynSent);
    b.next = segment.ack;
    b.scale = TcpEnd::kScaleUnknown;
    if (segment.options.timestamps) {
      b.set(TcpEnd::kTimestamps);
      b.timestamp = segment.options.timestamps->echo;
    }
    // An answering SYN permits SACK only when the first one did (RFC 2018 section 2).
    if (segment.options.sack_permitted) b.set(TcpEnd::kSackPermitted);
  }
  if (!segment.flags.syn()) {
    a.set(TcpEnd::kSynSent);
    a.scale = TcpEnd::kScaleUnknown;
    if (segment.options.timestamps) a.set(TcpEnd::kTimestamps);
  }
  (void)follow(a, b, segment, read_frame->payload);  // a first segment is always new
  return model;
}

TcpModel TcpModel::initialise(const TcpEndSetup& a, const TcpEndSetup& b,
                              bool established) noexcept {
  TcpModel model;
  model.ip_ = IpModel(a.address.address, b.address.address);
  for (const End end : {End::kA, End::kB}) {
    const TcpEndSetup& setup = end == End::kA ? a : b;
    model.ip_.set_ttl(end, setup.ttl);
    model.ip_.set_label(end, setup.label);
    model.tcp(end) = end_from(setup);
  }
  wire::EthernetFields ethernet;
  ethernet.source = a.mac;
  ethernet.destination = b.mac;
  model.ethernet_ = EthernetModel(ethernet);
  if (established) {
    establish(model.tcp(End::kA), model.tcp(End::kB));
    establish(model.tcp(End::kB), model.tcp(End::kA));
  }
  return model;
}

std::optional<End> TcpModel::match(const Frame& frame, const TcpFields& segment) const noexcept {
  if (!ethernet_.match(frame.ethernet)) return std::nullopt;
  for (const End from : {End::kA, End::kB}) {
    if (segment.source.value() == tcp(from).port &&
        segment.destination.value() == tcp(other(from)).port && frame.source == ip_.address(from) &&
        frame.destination == ip_.address(other(from))) {
      return from;
    }
  }
  return std::nullopt;
}

std::optional<End> TcpModel::match(Bytes bytes, bool super_frame) const noexcept {
  const auto read_frame = read(bytes, super_frame);
  return read_frame ? match(read_frame->frame, read_frame->segment) : std::nullopt;
}

Sync TcpModel::sync(Bytes bytes, bool super_frame) noexcept {
  const auto read_frame = read(bytes, super_frame);
  if (!read_frame) return Sync::kMalformed;
  const auto from = match(read_frame->frame, read_frame->segment);
  if (!from) return Sync::kNoMatch;
  const Sync result =
      follow(tcp(*from), tcp(other(*from)), read_frame->segment, read_frame->payload);
  if (followed(result)) {
    ethernet_.sync(*from, read_frame->frame.ethernet);
    ip_.sync(*from, read_frame->frame);
  }
  return result;
}

std::optional<CreateError> TcpModel::objection(End from, const TcpOutline& what) const noexcept {
  const TcpEnd& self = tcp(from);
  const TcpEnd& peer = tcp(other(from));
  const bool opens = what.flags.syn();
  if (self.has(TcpEnd::kResetSent) || peer.has(TcpEnd::kResetSent)) return CreateError::kClosed;
  const bool refuses = what.flags.rst() && peer.has(TcpEnd::kSeqKnown);
  if (opens ? self.has(TcpEnd::kSeqKnown) : !self.has(TcpEnd::kSeqKnown) && !refuses) {
    return CreateError::kNotSynchronised;
  }
  if (self.has(TcpEnd::kFinSent) && (!what.payload.empty() || what.flags.fin())) {
    return CreateError::kClosed;
  }
  if (what.keep_alive && (!what.payload.empty() || what.flags.fin() || opens)) {
    return CreateError::kPayloadTooLarge;
  }
  if (!what.super_frame && what.payload.size() > segment_size(from)) {
    return CreateError::kPayloadTooLarge;
  }
  if (!what.payload.empty() && !peer.has(TcpEnd::kAckKnown)) return CreateError::kNotSynchronised;
  const std::size_t length = what.payload.size() + (what.flags.fin() ? 1 : 0);
  if (length > 0 && peer.has(TcpEnd::kAckKnown) && length > usable_window(from)) {
    return CreateError::kWindowFull;
  }
  return std::nullopt;
}

TcpFields TcpModel::header(End from, const TcpOutline& what) const noexcept {
  const TcpEnd& self = tcp(from);
  const TcpEnd& peer = tcp(other(from));
  TcpFields f;
  f.source = wire::Port(self.port);
  f.destination = wire::Port(peer.port);
  f.seq = what.keep_alive ? self.next - 1 : self.next;
  f.flags.bits = what.flags.bits & static_cast<std::uint8_t>(~TcpFlags::kAck);
  if (self.has(TcpEnd::kAckKnown) || peer.has(TcpEnd::kSeqKnown)) {
    f.flags.bits |= TcpFlags::kAck;
    f.ack = self.has(TcpEnd::kAckKnown) && !what.acknowledge_all ? self.ack : peer.next;
  }
  f.window = what.window.value_or(self.window);
  const bool opens = what.flags.syn();
  if (opens) {
    // An answering SYN may only take up what the first one offered (RFC 7323, RFC 2018).
    const bool answers = peer.has(TcpEnd::kSynSent);
    const auto may = [&](std::uint8_t option) { return !answers || peer.has(option); };
    f.options.mss = self.mss;
    if (self.scale <= TcpEnd::kMaxScale && (!answers || peer.scale <= TcpEnd::kMaxScale)) {
      f.options.window_scale = self.scale;
    }
    f.options.sack_permitted = self.has(TcpEnd::kSackPermitted) && may(TcpEnd::kSackPermitted);
    if (self.has(TcpEnd::kTimestamps) && may(TcpEnd::kTimestamps)) {
      f.options.timestamps = {self.timestamp, answers ? peer.timestamp : 0};
    }
  } else if (both(self, peer, TcpEnd::kTimestamps)) {
    f.options.timestamps = {self.timestamp, peer.timestamp};
  }
  return f;
}

Result<std::size_t, CreateError> TcpModel::create(End from, const TcpOutline& what,
                                                  MutableBytes out) noexcept {
  if (const auto error = objection(from, what)) return std::unexpected(*error);
  const TcpFields segment = header(from, what);
  const wire::EthernetFields ethernet = ethernet_.create(from, ip_.ether_type());
  const std::size_t headers = ethernet.size() + ip_.header_size();
  const std::size_t length = segment.size() + what.payload.size();
  if (ip_.header_size() + length > kMaxIpPacket) {
    return std::unexpected(CreateError::kPayloadTooLarge);
  }
  if (out.size() < headers + length) return std::unexpected(CreateError::kNoRoom);
  TcpEnd self = tcp(from);
  TcpEnd peer = tcp(other(from));
  if (!followed(follow(self, peer, segment, static_cast<std::uint32_t>(what.payload.size())))) {
    return std::unexpected(CreateError::kNotSynchronised);
  }
  tcp(from) = self;
  tcp(other(from)) = peer;
  ethernet.emit(out);
  ip_.create(from, wire::IpProtocol::kTcp, length, out.subspan(ethernet.size()));
  const MutableBytes transport = out.subspan(headers, length);
  segment.emit(transport);
  std::ranges::copy(what.payload, transport.begin() + static_cast<std::ptrdiff_t>(segment.size()));
  store_be16(transport, TcpView::kChecksumOffset,
             wire::transport_checksum(ip_.address(from), ip_.address(other(from)),
                                      wire::IpProtocol::kTcp, transport));
  return headers + length;
}

TcpState TcpModel::state(End end) const noexcept {
  return model::state(tcp(end), tcp(other(end)));
}

wire::FlowKey TcpModel::flow(End from) const noexcept {
  return {{ip_.address(from), wire::Port(tcp(from).port)},
          {ip_.address(other(from)), wire::Port(tcp(other(from)).port)},
          wire::IpProtocol::kTcp,
          ethernet_.vlan()};
}

std::uint32_t TcpModel::in_flight(End from) const noexcept {
  const TcpEnd& self = tcp(from);
  const TcpEnd& peer = tcp(other(from));
  if (!self.has(TcpEnd::kSeqKnown) || !peer.has(TcpEnd::kAckKnown) || peer.ack > self.next)
    return 0;
  return self.next.value() - peer.ack.value();
}

std::uint32_t TcpModel::window(End end) const noexcept {
  return static_cast<std::uint32_t>(tcp(end).window)
         << window_shift(tcp(end), tcp(other(end))).value_or(0);
}

std::uint32_t TcpModel::usable_window(End from) const noexcept {
  if (!tcp(from).has(TcpEnd::kSeqKnown) || !tcp(other(from)).has(TcpEnd::kAckKnown)) return 0;
  const TcpEnd& peer = tcp(other(from));
  // A window may come with an older segment than the acknowledgement: never beyond what was
  // offered.
  const wire::SeqNum edge = wire::min(peer.ack + window(other(from)), peer.limit);
  const wire::SeqNum next = tcp(from).next;
  return edge > next ? edge.value() - next.value() : 0;
}

std::uint16_t TcpModel::segment_size(End from) const noexcept {
  const std::uint16_t mss = tcp(other(from)).mss;
  const std::uint16_t room = uses_timestamps() ? kTimestampRoom : 0;
  return mss > room ? static_cast<std::uint16_t>(mss - room) : std::uint16_t{0};
}

bool TcpModel::uses_timestamps() const noexcept {
  return both(ends_[0], ends_[1], TcpEnd::kTimestamps);
}

bool TcpModel::sack_permitted() const noexcept {
  return both(ends_[0], ends_[1], TcpEnd::kSackPermitted);
}

TcpModel TcpModel::swapped() const noexcept {
  TcpModel out;
  out.ip_ = ip_.swapped();
  out.ethernet_ = ethernet_.swapped();
  out.ends_ = {ends_[1], ends_[0]};
  return out;
}

std::string to_string(const TcpModel& model) {
  const auto end = [&model](End e) {
    return fmt::format("{} {} next {}", to_string(model.flow(e).source), to_string(model.state(e)),
                       model.next(e).value());
  };
  return fmt::format("A {} | B {}", end(End::kA), end(End::kB));
}

}  // namespace vtl::model
