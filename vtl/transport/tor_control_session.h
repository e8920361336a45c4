// TorControlSession: the client's part of Tor's control protocol (control-spec.txt), without a
// socket: let in, and then ask for what TorStatus tells.
//
// Theory of operation. PROTOCOLINFO says how to be let in. With a password of ours, that; else
// nothing where nothing is asked for; else the cookie. By SAFECOOKIE Tor proves first that it knows
// the cookie's file, and only then do we: so whoever else listens there, and names some file, is
// told nothing of it. By COOKIE the file itself is sent: only the one that was configured. After
// that one GETINFO at a time asks for everything.
//
// What comes is hostile until proven, and after it: a line has a bound, a reply is counted and not
// kept, texts for people are cut and made printable. How long a reply may take is for whoever owns
// the connection.
//
// Thread rule: a value, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"
#include "vtl/transport/hmac.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/socks_options.h"
#include "vtl/transport/tor_control_lines.h"

namespace vtl::transport {

class TorControlSession {
 public:
  static constexpr std::size_t kCookieSize = 32;
  using Cookie = std::array<std::uint8_t, kCookieSize>;
  using Nonce = std::array<std::uint8_t, 32>;
  /// Reads the cookie's file; the message says what would be right.
  using ReadCookie = std::function<Outcome<Cookie>(const std::string& path)>;

  /// `nonce`: random, for this session alone.
  TorControlSession(const TorControlOptions& options, const Nonce& nonce, ReadCookie read_cookie);

  /// What is to be sent now; each call takes it.
  [[nodiscard]] std::string take_output();
  /// Octets from Tor. False after a failure, see error().
  [[nodiscard]] bool receive(Bytes bytes);
  /// Nothing is awaited: let in, and the last question was answered.
  [[nodiscard]] bool idle() const noexcept { return step_ == Step::kIdle; }
  /// Asks again; only when idle(). The first question is asked without.
  void ask();

  /// As the last whole answer told; reachable since then.
  [[nodiscard]] const TorStatus& status() const noexcept { return status_; }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  enum class Step : std::uint8_t { kHello, kChallenge, kLetIn, kAsked, kIdle, kFailed };

  bool take(const TorLine& line);
  bool take_hello(const TorLine& line);
  bool take_challenge(const TorLine& line);
  bool take_let_in(const TorLine& line);
  bool take_answer(const TorLine& line);
  bool authenticate();
  bool authenticate_by_cookie();
  void take_auth(std::string_view words);
  void take_bootstrap(std::string_view words);
  void take_circuit(std::string_view words);
  bool fail(std::string why);
  bool refused(const TorLine& line, std::string_view what);
  [[nodiscard]] Mac proof(std::string_view role, const Nonce& server) const;

  const TorControlOptions options_;
  const Nonce nonce_;
  const ReadCookie read_cookie_;
  Step step_ = Step::kHello;
  TorLineReader lines_;
  std::string output_;
  std::string error_;
  // What PROTOCOLINFO told.
  std::string methods_, cookie_file_;
  bool told_auth_ = false;
  Cookie cookie_{};
  TorStatus status_, next_;  // next_: of the answer that is being read
};

}  // namespace vtl::transport
