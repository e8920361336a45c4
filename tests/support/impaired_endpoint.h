// ImpairedEndpoint: one endpoint at the end of an emulated line, for tests against other stacks.
//
//   peer -- arrive() --> [ impair ] --> endpoint --> [ impair ] --> turn()'s frames --> peer
//
// The line is VTL's own impair, each direction on its own; frames on it are wire frames: a
// super-frame of the peer's or of the endpoint's is cut first. What the line damages is dropped
// where a host would drop it, by its checksum or because it is no frame of the connection.
// No clock, no I/O: time is an argument. Thread rule: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "vtl/endpoint/endpoint.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/segment.h"
#include "vtl/service/impair/impair_core.h"
#include "vtl/service/tcp_frame.h"

namespace vtl::test {

class ImpairedEndpoint {
 public:
  /// `path`: of the frames that the endpoint sends.
  ImpairedEndpoint(PacketPool& pool, const service::FramePath& path,
                   const service::ImpairSettings& each_way, std::uint64_t seed)
      : pool_(pool), path_(path), in_(each_way, 2 * seed), out_(each_way, 2 * seed + 1) {}

  void connect(const endpoint::Config& config, wire::SeqNum iss, Time now) {
    endpoint_ = endpoint::Endpoint::connect(config, identity(), iss, now);
  }
  /// Takes the first SYN that comes.
  void listen(const endpoint::Config& config, wire::SeqNum iss) { listening_ = {config, iss}; }

  /// A frame of the peer's comes to the line.
  void arrive(Packet packet, Time now) { onto(in_, std::move(packet), now); }

  /// Passes on what has reached its end of the line, lets the endpoint work, and appends to `out`
  /// the frames that reach the peer now.
  void turn(Time now, Batch& out) {
    Batch due;
    in_.dequeue(now, due, kMost);
    for (Packet& packet : due) receive(packet, now);
    if (endpoint_) {
      endpoint_->dispatch(now, [&](const endpoint::OutSegment& segment) {
        Packet frame = service::make_tcp_frame(pool_, path_, segment);
        if (!frame) return false;
        onto(out_, std::move(frame), now);
        return true;
      });
    }
    out_.dequeue(now, out, kMost);
  }
  [[nodiscard]] Time poll_at(Time now) const {
    const Time line = std::min(in_.poll_at(), out_.poll_at());
    return endpoint_ ? std::min(line, endpoint_->poll_at(now)) : line;
  }

  [[nodiscard]] bool exists() const { return endpoint_.has_value(); }
  [[nodiscard]] endpoint::Endpoint& endpoint() { return *endpoint_; }
  /// What the line did to the frames toward the endpoint, and to those of the endpoint.
  [[nodiscard]] const service::ImpairCounters& inbound() const { return in_.counters(); }
  [[nodiscard]] const service::ImpairCounters& outbound() const { return out_.counters(); }
  /// Frames of the peer's that were no segments of the connection when they came.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }

 private:
  static constexpr std::size_t kMost = 1024;
  struct Listening {
    endpoint::Config config;
    wire::SeqNum iss;
  };

  [[nodiscard]] endpoint::Endpoint::Identity identity() const {
    return {path_.key.source.port, path_.key.destination.port};
  }

  void onto(service::ImpairCore& line, Packet packet, Time now) {
    Batch wire;
    if (!segment(packet, pool_, wire)) return;
    for (Packet& frame : wire) (void)line.enqueue(frame, now);
  }

  void receive(const Packet& packet, Time now) {
    const auto key = flow_key(packet.bytes(), packet.layout());
    if (!is_tcp(packet) || is_fragment(packet) || key != path_.key.reversed() ||
        !verify_checksums(packet)) {
      ++damaged_;
      return;
    }
    const auto segment = service::to_segment(packet);
    if (!segment) {
      ++damaged_;
    } else if (endpoint_) {
      endpoint_->process(*segment, now);
    } else if (listening_ && segment->header.flags.syn()) {
      endpoint_ = endpoint::Endpoint::accept_syn(listening_->config, identity(), listening_->iss,
                                                 *segment, false, now);
    }
  }

  PacketPool& pool_;
  service::FramePath path_;
  service::ImpairCore in_, out_;
  std::optional<Listening> listening_;
  std::optional<endpoint::Endpoint> endpoint_;
  std::uint64_t damaged_ = 0;
};

/// One direction of a test's bulk data: what the endpoint's program does with it.
class EndpointProgram {
 public:
  EndpointProgram(Bytes to_send, bool closes_first)
      : to_send_(to_send), closes_first_(closes_first) {}

  void turn(endpoint::Endpoint& endpoint, Time now) {
    while (endpoint.readable() > 0) {
      const Bytes bytes = endpoint.peek();
      received_.insert(received_.end(), bytes.begin(), bytes.end());
      endpoint.consume(bytes.size(), now);
    }
    if (sent_ < to_send_.size()) sent_ += endpoint.write(to_send_.subspan(sent_), now);
    if (sent_ == to_send_.size() && (closes_first_ || endpoint.at_end())) endpoint.shutdown(now);
  }
  [[nodiscard]] const std::vector<std::uint8_t>& received() const { return received_; }
  [[nodiscard]] std::size_t sent() const { return sent_; }

 private:
  Bytes to_send_;
  bool closes_first_;
  std::size_t sent_ = 0;
  std::vector<std::uint8_t> received_;
};

}  // namespace vtl::test
