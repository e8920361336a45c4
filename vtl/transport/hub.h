// Hub: one listening address of the process, and the transports that take streams from it.
//
// Theory of operation. Several peers and several workers may share a local address. One transport
// is at home: its reactor accepts, and greets. The key that a connection proves tells the peer; the
// preface tells the worker (Options::worker_for); the hub finds the transport that serves both, and
// the connection is posted there when that is not the one at home. When the home leaves, another
// transport becomes home.
//
// Thread rule: any thread; the members and what they said are under one lock, held for a lookup.
// Invariant: a member is posted to only while it is a member.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/connection.h"
#include "vtl/transport/kind.h"
#include "vtl/transport/options.h"
#include "vtl/transport/peer_auth.h"

namespace vtl::transport {

class HubMember {
 public:
  virtual ~HubMember() = default;
  [[nodiscard]] virtual Reactor& reactor() noexcept = 0;
  [[nodiscard]] virtual const Options& options() const noexcept = 0;
  [[nodiscard]] virtual const Key& own_key() const noexcept = 0;
  /// Locks while the member lives; ends on its reactor's thread.
  [[nodiscard]] virtual std::weak_ptr<void> alive() const noexcept = 0;
  /// From now on this member accepts. On its reactor's thread.
  [[nodiscard]] virtual Outcome<void> become_home() = 0;
  /// A connection from the home. On this member's reactor's thread.
  virtual void take_over(Connection::Moved moved) = 0;
};

class Hub {
 public:
  /// The hub of options.local, made when it is the first.
  [[nodiscard]] static std::shared_ptr<Hub> get(const Kind& kind, const wire::SocketAddress& local);
  explicit Hub(const Kind& kind) : kind_(kind), instance_(random_instance()) {}

  /// Joins; the first member becomes home, and what keeps it from listening is the error.
  [[nodiscard]] Outcome<void> join(HubMember& member);
  void leave(HubMember& member);

  [[nodiscard]] const Instance& instance() const noexcept { return instance_; }
  [[nodiscard]] std::optional<Key> find_key(const KeyId& id);
  enum class Route : std::uint8_t { kHere, kThere, kNowhere };
  /// Where a stream with this key and preface belongs, seen from `from`.
  [[nodiscard]] Route route(const HubMember& from, const KeyId& id, Bytes preface);
  /// Posts the connection where route() said; closes it when that has left since.
  void hand_over(const HubMember& from, Connection::Moved moved);

 private:
  [[nodiscard]] HubMember* find(const HubMember& from, const KeyId& id, Bytes preface);

  const Kind& kind_;
  Instance instance_;
  std::mutex mutex_;
  std::vector<HubMember*> members_;  // the first is home
};

}  // namespace vtl::transport
