// TcpModel: a TCP connection, known by watching it; the state of both ends.
//
// The four verbs: initialise() makes a model from a first packet or by hand, match() tells whether
// and from which end a frame belongs to the connection, sync() follows a frame, create() makes a
// frame from either end that the other accepts, and follows it too, so the model stays in step.
// Small, copyable and serialisable, for it travels between hosts. How it follows: tcp_end.h.
//
// Limits: frames are to be followed in the order in which they pass, or an acknowledgement comes
// before what it acknowledges and is refused. Fragments and frames without a readable TCP header
// are refused. A created frame is what the network can carry, not what an end knows of: an end for
// which VTL has spoken falls behind the model by what it did not say itself.
// Thread rule: a value; one thread. No clock, no I/O, no randomness, no allocation.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "vtl/base/result.h"
#include "vtl/model/ethernet_model.h"
#include "vtl/model/ip_model.h"
#include "vtl/model/tcp_end.h"
#include "vtl/wire/flow_key.h"

namespace vtl::model {

/// One end, told by hand.
struct TcpEndSetup {
  wire::MacAddress mac;
  wire::SocketAddress address;
  wire::SeqNum next;             ///< the sequence number that it will send next
  std::uint16_t window = 65535;  ///< as on the wire, not scaled
  std::optional<std::uint8_t> window_scale = std::nullopt;  ///< 0..14
  std::uint16_t mss = 1460;
  bool sack_permitted = false;
  std::optional<std::uint32_t> timestamp = std::nullopt;  ///< its last TSval
  std::uint8_t ttl = 64;
  std::uint32_t label = 0;  ///< the last IPv4 identification, or the IPv6 flow label
};

/// What a created segment is to carry. Sequence numbers, window, options are the model's matter.
struct TcpOutline {
  /// Of SYN, FIN, RST, PSH, URG: what is to be set. ACK is set whenever there is one to tell.
  wire::TcpFlags flags = {};
  Bytes payload = {};
  /// Another window than the end's last, as on the wire, not scaled.
  std::optional<std::uint16_t> window = std::nullopt;
  /// Acknowledge all that the other end has sent, not only what this end itself has acknowledged.
  bool acknowledge_all = false;
  /// One octet before the next sequence number: a keep-alive, which the other end must answer
  /// (RFC 9293 section 3.8.4). Without payload and flags.
  bool keep_alive = false;
  /// Allow a payload above the MSS, to be segmented on its way.
  bool super_frame = false;
};

class TcpModel {
 public:
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::size_t kSerialisedSize =
      1 + IpModel::kSerialisedSize + EthernetModel::kSerialisedSize + 2 * 24;

  /// Initialise, from any segment but a reset; its sender is A. From a SYN everything is known;
  /// from a later one not the options of the handshake, and of B only what A has acknowledged.
  /// Another protocol, a fragment, a reset, or an end that speaks to itself is kUnsupported.
  [[nodiscard]] static wire::Parsed<TcpModel> initialise(Bytes frame,
                                                         bool super_frame = false) noexcept;
  /// By hand: before the handshake (create() a SYN first), or in the middle of the connection with
  /// all data acknowledged. Options count when both ends have them. Addresses are of one version.
  [[nodiscard]] static TcpModel initialise(const TcpEndSetup& a, const TcpEndSetup& b,
                                           bool established) noexcept;

  /// Which end sent the frame to the other; nullopt when it is not of this connection.
  [[nodiscard]] std::optional<End> match(Bytes frame, bool super_frame = false) const noexcept;
  /// Follows a frame of either end.
  Sync sync(Bytes frame, bool super_frame = false) noexcept;
  /// Writes a frame from `from` with its checksums into `out`, follows it, and returns its size.
  /// After an error nothing has changed.
  [[nodiscard]] Result<std::size_t, CreateError> create(End from, const TcpOutline& what,
                                                        MutableBytes out) noexcept;

  [[nodiscard]] TcpState state(End end) const noexcept;
  [[nodiscard]] wire::FlowKey flow(End from) const noexcept;
  /// One past the highest sequence number that the end has sent.
  [[nodiscard]] wire::SeqNum next(End end) const noexcept { return tcp(end).next; }
  /// The highest acknowledgement number that the end has sent; nothing is told before the first.
  [[nodiscard]] wire::SeqNum acknowledged(End end) const noexcept { return tcp(end).ack; }
  /// Octets of sequence space that the end has sent and the other not acknowledged.
  [[nodiscard]] std::uint32_t in_flight(End from) const noexcept;
  /// Octets that the end may still send into the window the other has opened; 0 when not known.
  [[nodiscard]] std::uint32_t usable_window(End from) const noexcept;
  /// The window that the end last told, in octets.
  [[nodiscard]] std::uint32_t window(End end) const noexcept;
  /// Octets of payload in one segment from the end: the other's MSS, less room for timestamps.
  [[nodiscard]] std::uint16_t segment_size(End from) const noexcept;
  [[nodiscard]] bool uses_timestamps() const noexcept;
  [[nodiscard]] bool sack_permitted() const noexcept;
  [[nodiscard]] const EthernetModel& ethernet() const noexcept { return ethernet_; }
  [[nodiscard]] const IpModel& ip() const noexcept { return ip_; }

  /// The same connection with A called B.
  [[nodiscard]] TcpModel swapped() const noexcept;
  /// Writes kSerialisedSize octets in network byte order; the first is the format's version.
  void serialise(MutableBytes out) const noexcept;
  /// kUnsupported for another version, and for what no connection can be.
  [[nodiscard]] static wire::Parsed<TcpModel> deserialise(Bytes bytes) noexcept;
  bool operator==(const TcpModel&) const = default;

 private:
  TcpModel() = default;
  [[nodiscard]] TcpEnd& tcp(End end) noexcept { return ends_[index(end)]; }
  [[nodiscard]] const TcpEnd& tcp(End end) const noexcept { return ends_[index(end)]; }
  [[nodiscard]] std::optional<End> match(const Frame& frame,
                                         const wire::TcpFields& segment) const noexcept;
  [[nodiscard]] std::optional<CreateError> objection(End from,
                                                     const TcpOutline& what) const noexcept;
  [[nodiscard]] wire::TcpFields header(End from, const TcpOutline& what) const noexcept;

  IpModel ip_;
  std::array<TcpEnd, 2> ends_{};
  EthernetModel ethernet_;
};

static_assert(sizeof(TcpModel) <= 128, "a model is to stay small: it travels, and there are many");

/// "A 192.0.2.1:4000 established next 17 | B 198.51.100.2:80 established next 91".
[[nodiscard]] std::string to_string(const TcpModel& model);

}  // namespace vtl::model
