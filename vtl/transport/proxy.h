// Proxy: byte streams to any destination through a proxy, and look-ups that are made there.
//
// Who opens a stream names the destination by address or by name; a name goes to the proxy as it
// is, so nobody else learns of it. `isolation` says who must not be seen to belong together: where
// the proxy can tell streams apart (Tor by the SOCKS credentials), two streams with different ones
// never share a way. It is an opaque value of at most kMaxIsolation octets and reaches the proxy;
// an empty one asks for nothing.
//
// A stream closes each direction on its own whether the proxy can or not. Where it cannot, and the
// destination waits for our end before its own, on_reset(kTimedOut) tells it (socks_stream.h).
//
// Thread rule: as transport.h; one instance per worker. Invariants: nothing is called back inside
// open() or look_up(); after a look-up's answer, or its destruction, nothing more is called;
// streams and look-ups are destroyed before their proxy.
// Bounds: streams and look-ups at one time, time from open() to its answer (the implementation's
// options); at the bound a stream is refused with kLimit. Users that must not take each other's
// room have a share() each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "vtl/base/counter.h"
#include "vtl/base/result.h"
#include "vtl/transport/transport.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

/// An address, or a name of 1 to 255 octets.
using Host = std::variant<wire::IpAddress, std::string>;

struct Destination {
  Host host;
  wire::Port port;
};

/// What Tor tells about itself on its control port.
struct TorStatus {
  bool reachable = false;  ///< the control port answered and let us in
  std::string error;       ///< why not
  std::string version;
  unsigned bootstrap = 0;  ///< percent
  std::string bootstrap_summary;
  bool circuit_established = false;
  unsigned circuits_built = 0, circuits_building = 0;
};

/// For listings: a copy.
struct ProxyStatus {
  std::string kind;
  wire::SocketAddress address;
  bool up = false;     ///< the last attempt to reach it did not fail
  bool tried = false;  ///< there was one; before it nobody knows
  std::string error;   ///< of the last attempt that failed, until one succeeds
  std::uint64_t streams = 0;
  std::optional<TorStatus> tor;
};

/// Counters of one proxy on one worker; any thread reads.
struct ProxyCounters {
  Counter opened;            ///< streams that the proxy has connected
  Counter refused;           ///< streams that the proxy refused, for whatever reason
  Counter reset;             ///< streams that broke
  Counter timed_out;         ///< streams that had no answer in time
  Counter limited;           ///< streams refused at the bound
  Counter connect_failures;  ///< attempts to reach the proxy that failed
  Counter protocol_errors;   ///< answers that are not SOCKS 5
  Counter look_ups;
  Counter bytes_out, bytes_in;
};

/// A question under way; destroying it takes the question back.
class LookUp {
 public:
  virtual ~LookUp() = default;
};
using LookUpAnswer = std::function<void(Result<Host, StreamError>)>;

class Proxy {
 public:
  static constexpr std::size_t kMaxIsolation = 128;

  virtual ~Proxy() = default;
  /// "socks5", "tor".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

  /// Opens a stream to `destination`; write() works from on_open() on. kPeerDown: the proxy itself
  /// cannot be reached or broke off before it answered.
  [[nodiscard]] virtual std::unique_ptr<Stream> open(const Destination& destination,
                                                     std::string_view isolation,
                                                     StreamHandler& handler) = 0;
  /// Whether look_up() can have an answer other than a refusal.
  [[nodiscard]] virtual bool looks_up() const noexcept = 0;
  /// An address of the name (which family is the proxy's choice), or the name of the address.
  /// kHostUnreachable: there is none; kNetworkUnreachable: none of a kind that the proxy has.
  [[nodiscard]] virtual std::unique_ptr<LookUp> look_up(const Host& host,
                                                        std::string_view isolation,
                                                        LookUpAnswer answer) = 0;

  /// Whether a connection from the proxy to `address` might end on the proxy's own host: it is this
  /// host's address, and the proxy does not refuse such by itself (Tor does).
  [[nodiscard]] virtual bool stands_at(const wire::IpAddress& address) = 0;

  /// The same proxy for one of several users: each of them has an equal part of the streams and
  /// look-ups at one time, so none can take the others' room. It goes before the proxy, and after
  /// its own streams and look-ups. Null: there is no bound to be shared.
  [[nodiscard]] virtual std::unique_ptr<Proxy> share() { return nullptr; }

  /// False while the last attempt to reach it failed; probed in the background meanwhile.
  [[nodiscard]] virtual bool up() const noexcept = 0;
  [[nodiscard]] virtual ProxyStatus status() const = 0;
  [[nodiscard]] virtual const ProxyCounters& counters() const noexcept = 0;
};

}  // namespace vtl::transport
