// SocksHandshake: the client's part of SOCKS version 5 (RFC 1928, RFC 1929), without a socket.
//
// Theory of operation. One method is offered: user and password where there are credentials, else
// none at all. A proxy that ignored credentials would drop what they stand for (with Tor: which
// circuits may be shared), so there is no fall-back. As only one answer lets the handshake go on,
// everything may be sent at once (`pipelined`), and the answers are read as they come: a round trip
// in place of three. What the proxy sends behind its last answer belongs to the stream. Tor (0.4.9)
// leaves out its answer to the method when the credentials come in the same piece; its answer to
// these, which no other message begins like, then stands for both.
//
// Also Tor's two commands that ask for a name or an address in place of a connection, and its own
// reasons for failures (Tor's socks-extensions.txt, and proposal 304).
//
// Thread rule: a value, one thread. Invariant: it reads no octet behind the proxy's last answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"
#include "vtl/transport/transport.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

enum class SocksCommand : std::uint8_t {
  kConnect = 0x01,
  kResolve = 0xf0,         ///< Tor: the address of a name
  kResolveAddress = 0xf1,  ///< Tor: the name of an address (RESOLVE_PTR)
};

/// RFC 1929; each of 1 to 255 octets.
struct SocksCredentials {
  std::string user;
  std::string password;
  bool operator==(const SocksCredentials&) const = default;
};

struct SocksRequest {
  static constexpr std::size_t kMaxField = 255;

  SocksCommand command = SocksCommand::kConnect;
  std::variant<wire::IpAddress, std::string> host;  ///< a name has 1 to 255 octets
  wire::Port port;
  std::optional<SocksCredentials> credentials;
};

/// Why it did not come to a connection.
enum class SocksFailure : std::uint8_t {
  // The proxy's answer, RFC 1928 section 6.
  kGeneral = 1,
  kNotAllowed,
  kNetworkUnreachable,
  kHostUnreachable,
  kRefused,
  kTtlExpired,
  kCommandNotSupported,
  kAddressNotSupported,
  // Of the handshake itself.
  kNoMethod,       ///< the proxy takes none of what was offered
  kCredentials,    ///< the proxy does not take the user or the password
  kNotSocks,       ///< what answered does not speak SOCKS 5
  kUnknownReason,  ///< a reason that RFC 1928 does not know
  // Tor's own, 0xf0 to 0xf7.
  kOnionNotFound = 0xf0,
  kOnionInvalid,
  kOnionIntroFailed,
  kOnionRendezvousFailed,
  kOnionNeedsAuthorization,
  kOnionWrongAuthorization,
  kOnionBadAddress,
  kOnionIntroTimedOut,
};
[[nodiscard]] std::string_view to_string(SocksFailure failure) noexcept;
/// What a program that speaks TCP would have met.
[[nodiscard]] StreamError to_stream_error(SocksFailure failure) noexcept;

/// Whether a request can be made for it: a name's length, an address of either version.
[[nodiscard]] bool can_be_asked_for(
    const std::variant<wire::IpAddress, std::string>& host) noexcept;

class SocksHandshake {
 public:
  enum class State : std::uint8_t { kUnderWay, kDone, kFailed };

  /// `request` keeps its limits. `pipelined`: nothing is waited for before everything is sent.
  SocksHandshake(const SocksRequest& request, bool pipelined);

  /// What is to be sent now; empty while an answer is awaited.
  [[nodiscard]] Bytes to_send() const noexcept;
  /// The first n octets of it were sent.
  void sent(std::size_t n) noexcept;
  /// Octets from the proxy; returns how many it took. What is left is the stream's, once kDone.
  [[nodiscard]] std::size_t receive(Bytes bytes);
  /// How many octets may be read from the proxy without touching the stream's: so many at least are
  /// still missing of its answers, if it grants the request. 0 unless kUnderWay.
  [[nodiscard]] std::size_t missing() const noexcept;
  /// The proxy has taken the method and the credentials: what is awaited is its reply.
  [[nodiscard]] bool negotiated() const noexcept { return awaits_ == Awaits::kReply; }
  /// The request was sent too; nothing remains to be sent.
  [[nodiscard]] bool all_sent() const noexcept { return sent_ == out_.size(); }

  [[nodiscard]] State state() const noexcept { return state_; }
  /// Only when kFailed.
  [[nodiscard]] SocksFailure failure() const noexcept { return failure_; }
  /// When kDone: the address and port at which the proxy's connection begins, or the answer to a
  /// resolving command.
  [[nodiscard]] const std::variant<wire::IpAddress, std::string>& host() const noexcept {
    return host_;
  }
  [[nodiscard]] wire::Port port() const noexcept { return port_; }

 private:
  enum class Awaits : std::uint8_t { kMethod, kCredentials, kReply };

  void fail(SocksFailure failure) noexcept;
  [[nodiscard]] std::size_t wanted() const noexcept;
  [[nodiscard]] bool method_left_out() const noexcept;
  void take_answer();
  void take_credentials_answer();
  void take_reply();
  void next(Awaits awaits) noexcept;

  std::vector<std::uint8_t> out_;
  std::size_t sent_ = 0, allowed_ = 0;  // octets of out_; allowed_: that may be sent by now
  std::size_t after_method_ = 0;        // where in out_ the credentials begin, or the request
  std::size_t request_at_ = 0;
  bool pipelined_;
  bool credentials_;
  Awaits awaits_ = Awaits::kMethod;
  State state_ = State::kUnderWay;
  SocksFailure failure_ = SocksFailure::kGeneral;
  std::vector<std::uint8_t> answer_;  // the one that is being read
  std::variant<wire::IpAddress, std::string> host_;
  wire::Port port_;
};

}  // namespace vtl::transport
