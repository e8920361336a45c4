// SocksState: what the connections to one SOCKS proxy share: the options, the counters, how many
// there are, and whether the proxy can be reached.
//
// A proxy counts as up until an attempt to reach it fails: the connection, the method or the
// credentials. Before the first attempt nobody knows, which tried() tells.
// Every attempt that succeeds brings it up again; while it is down, the owner is told to make some.
// A lack of our own (descriptors, ports) leaves it as it is. The log hears of changes only.
//
// Thread rule: the reactor's thread, and the counters from any. It outlives its connections.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vtl/base/reactor.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/socks_options.h"

namespace vtl::transport {

/// One of those who share a proxy.
struct SocksUser {
  std::uint32_t in_use = 0;
};

class SocksState {
 public:
  SocksState(const SocksOptions& options, Reactor& reactor)
      : options_(options), reactor_(reactor) {}
  virtual ~SocksState();
  SocksState(const SocksState&) = delete;
  SocksState& operator=(const SocksState&) = delete;

  [[nodiscard]] const SocksOptions& options() const noexcept { return options_; }
  [[nodiscard]] Reactor& reactor() const noexcept { return reactor_; }
  [[nodiscard]] ProxyCounters& counters() noexcept { return counters_; }
  [[nodiscard]] const ProxyCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] bool up() const noexcept { return up_; }
  [[nodiscard]] bool tried() const noexcept { return tried_; }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] std::uint32_t in_use() const noexcept { return in_use_; }

  /// False at max_streams, and for a `user` at its part of it, which is at least one; else leave()
  /// is called once.
  [[nodiscard]] bool enter(SocksUser* user) noexcept;
  void leave(SocksUser* user) noexcept;
  void add_user() noexcept { ++users_; }
  void remove_user() noexcept { --users_; }

  /// The credentials that stand for `isolation`, or the proxy's own, or none.
  [[nodiscard]] std::optional<SocksCredentials> credentials_for(std::string_view isolation) const;

  /// An attempt has reached the proxy.
  void reached();
  /// One has not; `why` says it to a person. `credentials`: the attempt had some.
  void unreachable(std::string why, bool credentials);
  /// No attempt could be made, for lack of something of ours.
  void lacking(std::string why);

 protected:
  /// After up() has changed. May destroy a connection that is inside a call of reached().
  virtual void on_change() = 0;
  /// Whether the attempt that failed offered credentials.
  [[nodiscard]] bool failed_with_credentials() const noexcept { return failed_with_credentials_; }

 private:
  const SocksOptions options_;
  Reactor& reactor_;
  ProxyCounters counters_;
  bool up_ = true;
  bool tried_ = false;
  bool failed_with_credentials_ = false;
  std::uint32_t in_use_ = 0, users_ = 0;
  std::string error_;
};

}  // namespace vtl::transport
