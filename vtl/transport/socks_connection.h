// SocksConnection: one TCP connection to a SOCKS proxy, up to the proxy's last answer.
//
// Theory of operation. dial() connects without waiting and tries to send at once, as a proxy on the
// same machine has accepted by then. From there on the reactor's events move it: what the handshake
// wants to send is sent, and of what came so many octets are read as are answers for certain, so
// that what the destination sent behind them stays in the kernel. Then the connection belongs to
// whoever derives from it: a stream goes on with it, a look-up has its answer, a probe has seen
// enough when the proxy takes the credentials.
//
// One timer bounds it: connect_timeout until the proxy has taken the credentials, answer_timeout in
// all. What fails inside dial() is told by the same timer, as nothing is called back inside it.
//
// Thread rule: the reactor's thread. Invariants: after on_answer() no octet behind the answer was
// read; one entry from the reactor is under way at a time, and each callback in it may destroy the
// object: `gone` is true then.
#pragma once

#include <memory>
#include <optional>

#include "vtl/base/descriptor.h"
#include "vtl/base/reactor.h"
#include "vtl/transport/socks_state.h"

namespace vtl::transport {

class SocksConnection {
 public:
  virtual ~SocksConnection();
  SocksConnection(const SocksConnection&) = delete;
  SocksConnection& operator=(const SocksConnection&) = delete;

 protected:
  enum class Failure : std::uint8_t {
    kRefused,  ///< by the proxy, or not even to be asked of one
    kBroken,   ///< unreachable, broken off, or not SOCKS
    kSilent,   ///< no answer in time
    kLimited,  ///< a bound of ours
  };

  /// `user`: whom it counts for, beside all; it outlives the connection. Null: nobody.
  SocksConnection(SocksState& state, SocksUser* user);

  /// Begins. Calls nothing back. A connection that counts (not a probe) is bounded by max_streams.
  void dial(const SocksRequest& request, bool counts, bool pipelined);
  /// Tells on_failure() soon.
  void fail_soon(Failure failure, StreamError reason);

  /// The proxy has taken the credentials.
  virtual void on_negotiated() {}
  /// The whole request was sent.
  virtual void on_sent() {}
  /// The proxy has granted it. The descriptor stays, and its events go to on_ready() from now on.
  virtual void on_answer(const SocksHandshake& handshake) = 0;
  /// It has not. Nothing is called after it.
  virtual void on_failure(Failure failure, StreamError reason) = 0;
  /// Events that the handshake does not need: all of them after on_answer().
  virtual void on_ready(Readiness ready, const bool& gone) = 0;
  /// The timer, after on_answer().
  virtual void on_timer(const bool& gone) = 0;

  [[nodiscard]] SocksState& state() const noexcept { return state_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool answered() const noexcept { return handshake_ == nullptr; }
  /// What events are wanted beside those of the handshake: a set bit is asked of the system at
  /// once.
  void want(Readiness bit);
  void want_no_more(Readiness bit);
  [[nodiscard]] Readiness wanted() const noexcept { return wanted_; }
  void arm(Duration in);
  [[nodiscard]] bool armed() const noexcept { return timer_.armed(); }
  void disarm() noexcept { timer_.cancel(); }
  /// No more events; the descriptor stays.
  void unwatch() noexcept;
  /// Ends the connection. `in_order`: what was sent is delivered; else it ends with a reset.
  void close(bool in_order) noexcept;

 private:
  void connect();
  void enter_event(Readiness ready);
  void enter_timer();
  void proceed(Readiness ready, const bool& gone);
  [[nodiscard]] bool flush();
  void read_answers(const bool& gone);
  void take(Bytes bytes, const bool& gone);
  void refuse();
  [[nodiscard]] std::string_view hint(SocksFailure failure) const noexcept;
  void break_off(int error);
  void fail(Failure failure, StreamError reason);
  void watch(Readiness interest);
  [[nodiscard]] std::string where() const;

  SocksState& state_;
  SocksUser* user_;
  Descriptor fd_;
  bool counted_ = false;
  bool connected_ = false;
  bool told_sent_ = false;
  bool with_credentials_ = false;
  Readiness wanted_ = Readiness::kNone;
  bool* gone_ = nullptr;  // of the entry that is under way
  Time begun_;
  std::optional<std::pair<Failure, StreamError>> failure_;  // to be told by the timer
  std::unique_ptr<SocksHandshake> handshake_;               // until the last answer
  std::unique_ptr<FdWatch> watch_;
  Timer timer_;
};

constexpr Readiness operator|(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr Readiness without(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(static_cast<std::uint8_t>(a) & ~static_cast<std::uint8_t>(b));
}
constexpr bool has(Readiness set, Readiness bit) noexcept {
  return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(bit)) != 0;
}

}  // namespace vtl::transport
