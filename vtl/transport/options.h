// Options: what one peer's transport is to be, as plain values with defaults and ranges.
//
// The configuration fills one Options per peer; make_udt() and make_tcp() check it and answer with
// one line when something cannot be. Every duration is a bound: nothing in the transport waits
// longer. Thread rule: values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "vtl/base/bytes.h"
#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

/// Who decides how fast a UDT stream sends: rate_control.h, or what libudt brings along.
enum class RateControlKind : std::uint8_t { kVtl, kNative };

struct Options {
  /// The peer's name in messages.
  std::string name;
  /// Where the peer listens; absent: streams can only come from the peer.
  std::optional<wire::SocketAddress> remote;
  /// Where to listen, and the source of what we open; absent: streams can only be opened from here.
  /// Several peers may share one local address and port: a stream's peer is told by its key.
  std::optional<wire::SocketAddress> local;
  /// The secret that both peers share; at least kMinKey octets. Two peers on one local port need
  /// different keys.
  std::string key;

  /// Octets in flight per stream and direction: at least the path's bandwidth-delay product.
  /// 64 KiB to 1 GiB. 16 MiB fill 1 Gbit/s at 120 ms.
  std::size_t buffer = std::size_t{16} << 20;
  /// Octets that all streams of a worker may have under way toward it, in the buffers of both ends
  /// and on the path: what the windows add up to that it has opened to its peer. What is held here
  /// for sending follows the peer's windows, up to max_streams times buffer. 1 MiB to 1 TiB.
  std::size_t memory = std::size_t{1} << 30;
  /// UDT: the UDP socket's kernel buffers, octets, 64 KiB to 256 MiB. With the right CAP_NET_ADMIN
  /// the system's limit (net.core.rmem_max) does not apply.
  std::size_t udp_buffer = std::size_t{8} << 20;
  /// UDT: octets of one IP packet, 576 to 9000. The same for all peers on one local port.
  std::uint16_t mss = 1500;
  /// UDT: the same for all peers on one local port.
  RateControlKind rate_control = RateControlKind::kVtl;
  /// TCP: the congestion control, as in net.ipv4.tcp_available_congestion_control; empty: the
  /// system's default.
  std::string congestion;

  /// Authenticated connections kept ready, so that opening a stream costs no set-up; 0 to 64.
  std::uint32_t warm = 2;
  /// Streams at one time, both ways together, per worker; 1 to 65536. Beyond it: kLimit.
  std::uint32_t max_streams = 4096;
  /// Connections per listening port that have not proved the key; 1 to 65536. Beyond it they are
  /// closed and counted.
  std::uint32_t max_half_open = 256;

  /// Connect and prove the key; 100 ms to 60 s. Over UDT an answer must come within 2 s at most.
  Duration handshake_timeout = 5s;
  Duration answer_timeout = 150s;  ///< from open() to accept or refuse; 1 s to 600 s
  /// After the last shutdown(): how long nothing may move and the peer be silent while the rest is
  /// delivered, an hour in all; 1 s to 600 s.
  Duration linger = 60s;
  Duration idle_timeout = 120s;  ///< an unused connection beyond `warm` is closed; 1 s to 1 h
  Duration keepalive = 3s;       ///< idle connections are asked this often; 10 ms to 60 s
  /// An idle connection that does not answer for so long shows that the peer is gone: every stream
  /// with it ends with kPeerDown. 50 ms to 600 s. (UDT alone notices after some 46 s.)
  Duration silence = 15s;
  Duration probe_min = 500ms;  ///< between attempts when the peer is down: at first ...
  Duration probe_max = 8s;     ///< ... and at most

  /// With several workers: which of them owns the flow that a peer's preface describes. Any thread
  /// may call it. Empty: the worker that listens.
  std::function<std::uint32_t(Bytes preface)> worker_for;

  static constexpr std::size_t kMinKey = 16;
};

}  // namespace vtl::transport
