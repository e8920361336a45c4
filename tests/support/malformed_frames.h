// What a hostile guest or network may send: valid frames of every kind that VTL reads, cut at every
// octet, and with every length in them lying.
//
// Every frame has a TCP or UDP source port of its own, so that each is a flow of its own. Where a
// lie does not concern it, the frame is right: the checksums of a frame with malformed options
// hold, so that the options themselves are looked at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/packet/frames.h"

namespace vtl::test {

struct MalformedFrame {
  std::string what;
  Octets octets;
};

class MalformedFrames {
 public:
  /// All of them but those shorter than `min_size`: a real device sends no less than 14 octets.
  static std::vector<MalformedFrame> make(std::size_t min_size) {
    MalformedFrames maker(min_size);
    maker.cut();
    maker.lie_in_ipv4();
    maker.lie_in_ipv6();
    maker.lie_in_transport();
    maker.lie_in_options();
    return std::move(maker.frames_);
  }

 private:
  struct Kind {
    std::string name;
    FrameSpec spec;
  };

  explicit MalformedFrames(std::size_t min_size) : min_size_(min_size) {}

  static std::vector<Kind> kinds() {
    constexpr std::uint8_t kSyn = 0x02, kPushAck = 0x18;
    const Octets syn_options = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
    const Octets data_options = {1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 1};
    const Octets data = pattern(40);
    // Destination options, then a fragment header of a whole packet, or of a first fragment.
    const Octets destination = {6, 0, 1, 4, 0, 0, 0, 0};
    const Octets atomic = {6, 0, 0, 0, 0, 0, 0, 9};
    const Octets first_fragment = {17, 0, 0, 1, 0, 0, 0, 9};
    return {
        {"syn4", {.flags = kSyn, .tcp_options = syn_options}},
        {"syn6", {.v6 = true, .flags = kSyn, .tcp_options = syn_options}},
        {"tcp4", {.flags = kPushAck, .tcp_options = data_options, .payload = data}},
        {"tcp6", {.v6 = true, .flags = kPushAck, .tcp_options = data_options, .payload = data}},
        {"tcp4 with options",
         {.flags = kSyn, .ip_options = {7, 7, 4, 0, 0, 0, 0, 0}, .tcp_options = syn_options}},
        {"tcp6 with destination options",
         {.v6 = true,
          .flags = kSyn,
          .extensions = destination,
          .first_extension = 60,
          .tcp_options = syn_options}},
        {"tcp6 atomic fragment",
         {.v6 = true, .flags = kSyn, .extensions = atomic, .first_extension = 44}},
        {"tcp4 tagged", {.vlans = {100}, .flags = kSyn, .tcp_options = syn_options}},
        {"udp4", {.protocol = 17, .payload = data}},
        {"udp6 in QinQ", {.v6 = true, .protocol = 17, .vlans = {5, 100}, .payload = data}},
        {"udp4 first fragment", {.protocol = 17, .fragment = 0x2000, .payload = data}},
        {"udp4 later fragment", {.protocol = 17, .fragment = 0x0010, .payload = data}},
        {"udp6 first fragment",
         {.v6 = true,
          .protocol = 17,
          .extensions = first_fragment,
          .first_extension = 44,
          .payload = data}},
        {"icmp4", {.protocol = 1, .payload = data}},
        {"icmp6", {.v6 = true, .protocol = 58, .payload = data}},
    };
  }

  static Octets arp_request() {
    return {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0, 0x5e, 0, 0x53, 1,  // Ethernet
            8,    6,    0,    1,    8,    0,    6,   4, 0,    1,           // ARP request
            2,    0,    0x5e, 0,    0x53, 1,    192, 0, 2,    1,           // from 192.0.2.1
            0,    0,    0,    0,    0,    0,    192, 0, 2,    9};          // for 192.0.2.9
  }

  Octets next(FrameSpec spec) {
    spec.source_port = port_++;
    return make_frame(spec);
  }
  static std::size_t network_of(const FrameSpec& spec) { return 14 + 4 * spec.vlans.size(); }
  static std::size_t transport_of(const FrameSpec& spec) {
    return network_of(spec) + (spec.v6 ? 40 + spec.extensions.size() : 20 + spec.ip_options.size());
  }
  void add(std::string what, Octets octets) {
    if (octets.size() < min_size_) return;
    frames_.push_back({std::move(what), std::move(octets)});
  }
  // The IPv4 header's checksum over as many words as the header says it has and the frame holds.
  static void finish_ipv4(Octets& frame, std::size_t at) {
    const std::size_t length = std::size_t{4} * (frame[at] & 0x0fU);
    if (length < 12 || at + length > frame.size()) return;
    store_be16(frame, at + 10, 0);
    store_be16(frame, at + 10, naive_checksum(Bytes(frame).subspan(at, length)));
  }
  static std::vector<std::uint32_t> lies(std::size_t truth) {
    const auto t = static_cast<std::uint32_t>(truth);
    return {0, 1, 7, 8, 19, 20, 21, 39, 40, t - 1, t + 1, t + 8, 2 * t, 0x7fff, 0x8000, 0xffff};
  }

  void cut() {
    for (const Kind& kind : kinds()) {
      const std::size_t whole = make_frame(kind.spec).size();
      for (std::size_t size = 1; size < whole; ++size) {
        Octets frame = next(kind.spec);
        frame.resize(size);
        add(kind.name + " cut to " + std::to_string(size), std::move(frame));
      }
    }
    for (std::size_t size = 1; size < arp_request().size(); ++size) {
      Octets frame = arp_request();
      frame.resize(size);
      add("arp cut to " + std::to_string(size), std::move(frame));
    }
    for (std::size_t at = 14; at < 22; ++at) {  // kinds and lengths of the addresses
      Octets frame = arp_request();
      frame[at] ^= 0xff;
      add("arp with another octet at " + std::to_string(at), std::move(frame));
    }
  }

  void lie_in_ipv4() {
    for (const Kind& kind : kinds()) {
      if (kind.spec.v6) continue;
      const std::size_t at = network_of(kind.spec);
      for (const std::uint32_t length : lies(make_frame(kind.spec).size() - at)) {
        Octets frame = next(kind.spec);
        store_be16(frame, at + 2, static_cast<std::uint16_t>(length));
        finish_ipv4(frame, at);
        add(kind.name + " of total length " + std::to_string(length), std::move(frame));
      }
      for (unsigned first = 0; first < 256; first += first < 0x40 || first >= 0x50 ? 17 : 1) {
        Octets frame = next(kind.spec);
        frame[at] = static_cast<std::uint8_t>(first);  // version and header length
        finish_ipv4(frame, at);
        add(kind.name + " beginning with " + std::to_string(first), std::move(frame));
      }
    }
  }

  void lie_in_ipv6() {
    for (const Kind& kind : kinds()) {
      if (!kind.spec.v6) continue;
      const std::size_t at = network_of(kind.spec);
      for (const std::uint32_t length : lies(make_frame(kind.spec).size() - at - 40)) {
        Octets frame = next(kind.spec);
        store_be16(frame, at + 4, static_cast<std::uint16_t>(length));
        add(kind.name + " of payload length " + std::to_string(length), std::move(frame));
      }
      for (unsigned header = 0; header < 256; header += header < 64 ? 1 : 5) {
        Octets frame = next(kind.spec);
        frame[at + 6] = static_cast<std::uint8_t>(header);
        add(kind.name + " with next header " + std::to_string(header), std::move(frame));
      }
      if (kind.spec.extensions.empty()) continue;
      for (unsigned length = 0; length < 256; length += length < 16 ? 1 : 11) {
        Octets frame = next(kind.spec);
        frame[at + 41] = static_cast<std::uint8_t>(length);
        add(kind.name + " with an extension of length " + std::to_string(length), std::move(frame));
      }
    }
    // A chain of extensions that never comes to its end.
    FrameSpec spec{.v6 = true, .first_extension = 60};
    for (int i = 0; i < 40; ++i) append(spec.extensions, {60, 0, 1, 4, 0, 0, 0, 0});
    add("tcp6 with forty extensions", next(spec));
  }

  void lie_in_transport() {
    for (const Kind& kind : kinds()) {
      const std::size_t at = transport_of(kind.spec);
      if (kind.spec.protocol == 6) {
        for (unsigned offset = 0; offset < 16; ++offset) {
          Octets frame = next(kind.spec);
          frame[at + 12] = static_cast<std::uint8_t>(offset << 4);
          add(kind.name + " of data offset " + std::to_string(offset), std::move(frame));
        }
      } else if (kind.spec.protocol == 17) {
        for (const std::uint32_t length : lies(make_frame(kind.spec).size() - at)) {
          Octets frame = next(kind.spec);
          store_be16(frame, at + 4, static_cast<std::uint16_t>(length));
          add(kind.name + " of length " + std::to_string(length), std::move(frame));
        }
      }
    }
  }

  void lie_in_options() {
    constexpr std::uint8_t kSyn = 0x02;
    for (const bool v6 : {false, true}) {
      for (const std::uint8_t kind : Octets{2, 3, 4, 5, 8, 19, 29, 34, 254}) {
        for (const std::uint8_t length : Octets{0, 1, 2, 3, 5, 9, 11, 12, 13, 40, 255}) {
          const Octets options = {kind, length, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0};
          add("tcp option " + std::to_string(kind) + " of length " + std::to_string(length),
              next({.v6 = v6, .flags = kSyn, .tcp_options = options}));
        }
        add("tcp option " + std::to_string(kind) + " without a length",
            next({.v6 = v6, .flags = kSyn, .tcp_options = {1, 1, 1, kind}}));
      }
    }
    for (const std::uint8_t kind : Octets{7, 68, 130, 131, 148}) {
      for (const std::uint8_t length : Octets{0, 1, 2, 3, 9, 40, 255}) {
        add("ip option " + std::to_string(kind) + " of length " + std::to_string(length),
            next({.flags = kSyn, .ip_options = {kind, length, 4, 0, 0, 0, 0, 0}}));
      }
      add("ip option " + std::to_string(kind) + " without a length",
          next({.flags = kSyn, .ip_options = {1, 1, 1, kind}}));
    }
  }

  std::size_t min_size_;
  std::uint16_t port_ = 2000;
  std::vector<MalformedFrame> frames_;
};

}  // namespace vtl::test
