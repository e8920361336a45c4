// Script: a packet-script on a virtual clock. The test plays the peer of one Endpoint, segment by
// segment.
//
// Numbers are relative: `seq` and `ack` count from the initial sequence number of whose they are,
// so the first octet of data is 1 on both sides. A field that is not set is a sensible default when
// sending (the next number in order, ACK, the window and timestamps of a live peer) and don't-care
// when matching. expect() lets the endpoint run and also asserts that nothing else was sent; at()
// moves the clock and asserts that nothing was sent on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint::script {

/// A segment to send or to expect. Flags are letters: S F R P A U E C; "." alone is a bare ACK.
struct Seg {
  std::optional<std::uint32_t> seq_, ack_, window_, length_;
  std::optional<std::string> flags_;
  std::optional<std::string> data_;
  std::optional<std::uint16_t> mss_;
  std::optional<std::uint8_t> scale_;
  std::optional<wire::TcpTimestamps> stamps_;
  std::optional<std::uint16_t> pieces_;  // wire segments of a super-frame
  std::optional<std::vector<std::pair<std::uint32_t, std::uint32_t>>> sack_;
  std::optional<bool> has_stamps_, has_mss_, has_scale_, retransmission_, ect_;
  bool ce_ = false;

  Seg&& seq(std::uint32_t v) && {
    seq_ = v;
    return std::move(*this);
  }
  Seg&& ack(std::uint32_t v) && {
    ack_ = v;
    return std::move(*this);
  }
  Seg&& win(std::uint32_t v) && {
    window_ = v;
    return std::move(*this);
  }
  /// That many octets of any content.
  Seg&& len(std::uint32_t v) && {
    length_ = v;
    return std::move(*this);
  }
  Seg&& flags(std::string_view v) && {
    flags_ = v;
    return std::move(*this);
  }
  Seg&& data(std::string_view v) && {
    data_ = v;
    return std::move(*this);
  }
  Seg&& mss(std::uint16_t v) && {
    mss_ = v;
    return std::move(*this);
  }
  Seg&& scale(std::uint8_t v) && {
    scale_ = v;
    return std::move(*this);
  }
  Seg&& stamps(std::uint32_t value, std::uint32_t echo) && {
    stamps_ = wire::TcpTimestamps{value, echo};
    return std::move(*this);
  }
  Seg&& pieces(std::uint16_t v) && {
    pieces_ = v;
    return std::move(*this);
  }
  /// Exactly these blocks, relative as ack is.
  Seg&& sack(std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks) && {
    sack_ = std::move(blocks);
    return std::move(*this);
  }
  Seg&& no_stamps() && {
    has_stamps_ = false;
    return std::move(*this);
  }
  Seg&& any_stamps() && {
    has_stamps_ = true;
    return std::move(*this);
  }
  Seg&& no_scale() && {
    has_scale_ = false;
    return std::move(*this);
  }
  /// Came marked Congestion Experienced.
  Seg&& ce() && {
    ce_ = true;
    return std::move(*this);
  }
  Seg&& ect(bool v) && {
    ect_ = v;
    return std::move(*this);
  }
  Seg&& again() && {
    retransmission_ = true;
    return std::move(*this);
  }
  Seg&& fresh() && {
    retransmission_ = false;
    return std::move(*this);
  }
};

inline Seg seg() {
  return {};
}
inline Seg ack(std::uint32_t n) {
  return Seg{}.ack(n).flags("A");
}

/// What the peer offers in its SYN, and how it behaves when a field is not set.
struct Peer {
  std::optional<std::uint16_t> mss = 1460;
  std::optional<std::uint8_t> scale = std::nullopt;
  bool stamps = false;
  bool sack = false;
  std::uint16_t window = 64240;  ///< as on the wire
};

/// The endpoint under test, without timestamps and scaling unless asked: numbers stay readable.
Config plain();

class Script {
 public:
  explicit Script(Config config = plain(), Peer peer = {}, std::uint32_t our_iss = 1000,
                  std::uint32_t peer_iss = 5000);

  // States.
  Script& connect();  ///< SYN-SENT; the SYN is due
  /// A SYN arrived; SYN-RECEIVED.
  Script& syn(bool hold = false, std::string_view flags = "S");
  Script& established(bool active = false);
  /// Established, and `octets` of data sent that wait for their acknowledgement.
  Script& flight(std::uint32_t octets, bool active = false);
  Script& fin_wait_1();
  Script& fin_wait_2();
  Script& close_wait();
  Script& closing();
  Script& last_ack();
  Script& time_wait();

  // The wire.
  Script& send(Seg segment);
  Script& expect(std::vector<Seg> segments);
  Script& quiet() { return expect({}); }
  /// Takes whatever is sent now.
  Script& swallow();

  // The clock, in milliseconds since the script began.
  Script& at(double ms);
  Script& after(double ms);
  [[nodiscard]] Time now() const { return now_; }
  /// Runs deadlines until something is sent or `limit_ms` went by; returns when, in ms.
  double until_sent(double limit_ms);

  // The stream.
  Script& write(std::uint32_t octets);
  Script& write(std::string_view text);
  Script& shutdown();
  Script& abort();
  Script& read_all();
  Script& read(std::size_t n);
  [[nodiscard]] std::string unread() const;
  Script& state(State expected);
  Script& reason(EndReason expected);

  Endpoint& endpoint() { return *endpoint_; }
  [[nodiscard]] std::size_t outbox() const { return sent_.size(); }
  /// Dispatches and returns what was sent, with payload sizes.
  struct Sent {
    wire::TcpFields header;
    std::string data;
    std::uint16_t segment_size = 0;
    bool retransmission = false;
    bool ect = false;
  };
  std::vector<Sent> take();

 private:
  void run();
  [[nodiscard]] Segment build(const Seg& segment, std::string& data);
  void match(const Seg& want, const Sent& got, std::size_t index) const;

  Config config_;
  Peer peer_;
  wire::SeqNum our_iss_;
  wire::SeqNum peer_iss_;
  Time start_;
  Time now_;
  std::optional<Endpoint> endpoint_;
  std::vector<Sent> sent_;
  std::uint32_t peer_next_ = 0;  // relative
  std::uint32_t our_next_ = 0;   // relative: what an obedient peer acknowledges
  std::uint32_t last_stamp_ = 0;
  std::uint32_t written_ = 0;
};

}  // namespace vtl::endpoint::script
