// SocksOptions: what one SOCKS 5 proxy is to be, as plain values with defaults and ranges.
//
// The configuration fills one per proxy; check() answers with one line when something cannot be.
// Every duration is a bound. Thread rule: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vtl/base/result.h"
#include "vtl/base/time.h"
#include "vtl/transport/socks_handshake.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

/// How to ask Tor about itself (control-spec.txt). Tor proves that it knows its cookie before it is
/// shown anything (SAFECOOKIE); a file that Tor names is never sent to it.
struct TorControlOptions {
  /// Its control port, on this machine as a rule.
  wire::SocketAddress address;
  /// The cookie's file; empty: the one that Tor names, which must be readable here. Only with one
  /// given here is the old method COOKIE used, which shows the cookie to whoever asks.
  std::string cookie_file;
  /// Of HashedControlPassword; 0 to 255 octets. Not empty: it is used in place of the cookie.
  std::string password;
  Duration poll = 5s;      ///< between two questions; 100 ms to 1 h
  Duration timeout = 10s;  ///< for the connection, and for each answer; 100 ms to 60 s
};

/// What becomes of a request for a name whose address is inside: the proxy's own host or a private
/// network. Who owns a name in the public DNS gives it any address, and only the proxy sees it.
enum class InnerAddresses : std::uint8_t {
  kUnsaid,   ///< good for Tor only, which refuses them
  kRefused,  ///< the proxy refuses it by its own rules
  kAllowed,  ///< guests may reach what the proxy reaches
};

struct SocksOptions {
  /// The proxy's name in messages.
  std::string name;
  /// It is Tor: look-ups are made there (RESOLVE, RESOLVE_PTR), and it has a control port.
  bool tor = false;
  wire::SocketAddress address;
  /// Where nothing is looked up before, a guest that can ask for a name can ask for any address.
  InnerAddresses inner = InnerAddresses::kUnsaid;
  /// RFC 1929, each of 1 to 255 octets. With them a stream's isolation is not told to the proxy.
  std::optional<SocksCredentials> credentials;
  /// All is sent at once, and no answer waited for before the request; absent: with Tor only, for
  /// some servers take each read for a message.
  std::optional<bool> pipelined;
  /// What a stream's shutdown() waits for: the destination's end, or that nothing has come from it
  /// for so long; 0: for nothing; to 1 h. Of proxies that know no half-close and end both
  /// directions with the first. Absent: 60 s with Tor (tor-spec.txt 6.3: RELAY_END ends both), 0
  /// with others.
  std::optional<Duration> half_close_wait;
  /// A stream is open as soon as its request is sent, and data follows at once. What the proxy
  /// refuses then is told by on_reset() with the reason.
  bool optimistic = false;
  /// Until the proxy has taken the connection, the method and the credentials; 100 ms to 60 s.
  /// Beyond it the proxy is down.
  Duration connect_timeout = 10s;
  /// From open() to the proxy's last answer; 1 s to 600 s, not less than connect_timeout. Tor gives
  /// up after 120 s by itself.
  Duration answer_timeout = 120s;
  Duration probe_min =
      500ms;                ///< between attempts while the proxy is down: at first; 10 ms to 60 s
  Duration probe_max = 8s;  ///< and at most; from probe_min to 600 s
  /// Streams and look-ups at one time, per worker; 1 to 1048576, and of each user of the proxy an
  /// equal part (Proxy::share()). Beyond it: kLimit. The ports that
  /// the system has for connections to one address may end before (net.ipv4.ip_local_port_range).
  std::uint32_t max_streams = 65536;
  /// Tor only; used by worker 0.
  std::optional<TorControlOptions> control;

  /// Octets that the kernel may hold in each direction of a stream, with as many for its
  /// bookkeeping; 32 KiB to 64 MiB. A proxy far away may need more: rate times round trip. Below
  /// the default a bulk stream costs a sixth more processor time.
  std::size_t socket_buffer = std::size_t{1} << 20;

  [[nodiscard]] bool sends_all_at_once() const noexcept { return pipelined.value_or(tor); }
  [[nodiscard]] Duration end_waits_for() const noexcept {
    return half_close_wait.value_or(tor ? 60s : 0s);
  }
};

[[nodiscard]] Outcome<void> check(const SocksOptions& options);

}  // namespace vtl::transport
