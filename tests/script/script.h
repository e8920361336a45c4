// Script: a packet-script. The test plays the peer of one TCP, segment by segment.
//
// Numbers are relative: `seq` and `ack` count from the initial sequence number of whose they are,
// so the first octet of data is 1 on both sides. A field that is not set is a sensible default when
// sending (the next number in order, ACK, the window and timestamps of a live peer) and don't-care
// when matching. expect() takes what was sent and also asserts that nothing else was; later() lets
// time pass until something is sent; at() lets it pass and asserts that nothing is.
//
// STORY() is run against every subject (subject.h): it holds for any TCP. Where the kernel may
// differ, kernel_differs() says so in one line, before the expectation that it replaces.
// ENDPOINT_STORY() is run against VTL's endpoint alone and says why. How to write one:
// docs/testing.md.
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/script/subject.h"
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
  std::optional<bool> has_stamps_, has_mss_, has_scale_, retransmission_, sack_permitted_, ect_;
  std::optional<std::uint16_t> urgent_;
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
  Seg&& any_scale() && {
    has_scale_ = true;
    return std::move(*this);
  }
  Seg&& sack_permitted(bool v) && {
    sack_permitted_ = v;
    return std::move(*this);
  }
  /// The urgent pointer.
  Seg&& urgent(std::uint16_t v) && {
    urgent_ = v;
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
  Seg&& no_scale() && {
    has_scale_ = false;
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
inline std::vector<Seg> nothing() {
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

/// The TCP under test, without timestamps and scaling unless asked: numbers stay readable. What the
/// kernel is told of it: the options offered, MSS, Nagle, keep-alive, SYN repetitions, user timeout
/// and, where they are not plain()'s, the floor of the timeout and about the receive buffer.
Config plain();

class Script {
 public:
  explicit Script(Config config = plain(), Peer peer = {}, std::uint32_t our_iss = 1000,
                  std::uint32_t peer_iss = 5000);
  ~Script();
  Script(Script&&) = default;
  Script& operator=(Script&&) = delete;

  // States.
  Script& connect();  ///< SYN-SENT; the SYN is due
  /// A SYN arrived; SYN-RECEIVED.
  Script& syn(bool hold = false, std::string_view flags = "S", std::string_view text = {});
  /// A SYN of the same peer and ports for a new connection, from `iss` on; it is this story's from
  /// now on.
  Script& new_syn(std::uint32_t iss, Seg segment = {});
  Script& established(bool active = false);
  /// Established, and `octets` of data sent that wait for their acknowledgement.
  Script& flight(std::uint32_t octets, bool active = false);
  Script& syn_sent();      ///< the SYN has left
  Script& syn_received();  ///< passive; the SYN,ACK has left
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
  /// Octets of data in order from `seq` on, wherever they are cut, and nothing else.
  Script& expect_stream(std::uint32_t seq, std::uint32_t octets);
  /// Takes whatever is sent now.
  Script& swallow();
  /// An ICMP error about the connection.
  Script& icmp_error(bool hard);
  /// Unless told otherwise it quotes the last segment that was sent.
  Script& icmp_too_big(std::uint16_t mtu, std::optional<std::uint32_t> seq = std::nullopt);
  /// The peer sends all that the window allows, a segment at a time, until it is shut.
  Script& fill_window();

  // The clock, in milliseconds since the script began.
  Script& at(double ms);
  Script& after(double ms);
  /// Nothing is sent before `ms` have passed; these then are. Exact on the virtual clock; the
  /// kernel may be late.
  Script& later(double ms, std::vector<Seg> segments);
  [[nodiscard]] Time now() const { return subject_->now(); }
  /// Runs deadlines until something is sent or `limit_ms` went by; returns when, in ms.
  double until_sent(double limit_ms);

  // The stream.
  Script& write(std::uint32_t octets);
  Script& write(std::string_view text);
  /// Nothing more may be written.
  Script& write_refused();
  Script& shutdown();
  Script& abort();
  Script& read_all();
  Script& read(std::size_t n);
  [[nodiscard]] std::string unread() const { return subject_->unread(); }
  [[nodiscard]] std::size_t readable() const { return subject_->readable(); }
  [[nodiscard]] bool at_end() const { return subject_->at_end(); }
  [[nodiscard]] bool all_acknowledged() const { return subject_->all_acknowledged(); }
  [[nodiscard]] std::uint16_t effective_mss() const { return subject_->effective_mss(); }
  Script& state(State expected);
  Script& reason(EndReason expected);
  /// One of the endpoint's counters; the kernel's are not asked.
  Script& counts(std::uint32_t EndpointStats::* which, std::uint32_t expected);

  // Differences that are legitimate. Each replaces the next expectation of its kind when the
  // subject is the kernel.
  Script& kernel_differs(std::string_view why, std::vector<Seg> segments);
  Script& kernel_differs(std::string_view why, State state);
  Script& kernel_differs(std::string_view why, EndReason reason);
  /// The moment of the next later().
  Script& kernel_differs(std::string_view why, double ms);
  /// What the kernel sends beside what any TCP does: these, and nothing before them.
  Script& kernel_also(std::string_view why, std::vector<Seg> segments);
  /// Of net.ipv4, where a story needs another one than the kernel's subject has chosen.
  Script& kernel_setting(const std::string& key, const std::string& value);
  [[nodiscard]] static bool kernel() { return subject_is_kernel(); }

  /// Of stories that are about an Endpoint.
  Endpoint& endpoint();
  using Sent = script::Sent;
  /// What was sent by now.
  std::vector<Sent> take() { return take(0); }

 private:
  // What the kernel does instead, and why.
  template <class T>
  struct Differs {
    std::string why;
    T expected;
  };
  template <class T>
  static T pick(std::optional<Differs<T>>& differs, T usual) {
    if (!differs) return usual;
    T out = std::move(differs->expected);
    differs.reset();
    return out;
  }

  std::vector<Sent> take(std::size_t expected);
  void note(Sent& sent);
  [[nodiscard]] Segment build(const Seg& segment, std::string& data);
  void match(const Seg& want, const Sent& got, std::size_t index) const;

  Peer peer_;
  std::unique_ptr<Subject> subject_;
  std::optional<wire::SeqNum> our_iss_;  // known from the first SYN on
  wire::SeqNum peer_iss_;
  Time start_;
  // When what happened last in the story did so, at the earliest. The kernel's clock goes on while
  // the story is told: from here it counts, so that being late never makes something seem early.
  Time moment_;
  std::optional<Differs<std::vector<Seg>>> segments_differ_;
  std::optional<Differs<State>> state_differs_;
  std::optional<Differs<EndReason>> reason_differs_;
  std::optional<Differs<double>> moment_differs_;
  std::uint32_t peer_next_ = 0;  // relative
  std::uint32_t our_next_ = 0;   // relative: what an obedient peer acknowledges
  std::uint32_t our_edge_ = 0;   // relative to the peer: the right edge of the window offered
  std::uint8_t our_scale_ = 0;
  bool scaling_ = false;
  std::uint32_t last_stamp_ = 0;
  std::uint32_t written_ = 0;
};

/// Registers a story with googletest where this program's subject is to be told it.
bool register_story(const char* group, const char* name, const char* file, int line,
                    const char* endpoint_only, void (*story)());

/// A story that holds for any TCP.
#define STORY(group, name) VTL_STORY(group, name, nullptr)
/// A story of VTL's endpoint; `why` says what keeps the kernel from it.
#define ENDPOINT_STORY(group, name, why) VTL_STORY(group, name, why)

#define VTL_STORY(group, name, why)                                                    \
  void story_##group##_##name();                                                       \
  [[maybe_unused]] const bool registered_##group##_##name =                            \
      register_story(#group, #name, __FILE__, __LINE__, why, &story_##group##_##name); \
  void story_##group##_##name()

}  // namespace vtl::endpoint::script
