// Server: answers on the control socket (protocol.h), on a thread of its own.
//
// Theory of operation. One poll loop over the listener and the connections. A connection reads one
// request, gets its answer and ends; a dump stays and is fed from its Dump, as fast as the client
// reads. Who may connect is the file system's business: the socket is its owner's alone (0600), so
// no guest and no other user reaches it.
//
// Bounds: kMaxConnections at once (further ones are closed at once), kMaxRequest octets of request,
// kRequestTime to send it and as long again to take the answer. While the process has no descriptor
// left, clients wait in the listener's queue, which is looked at once a second.
// Thread rule: made and destroyed on one thread; the source is called on the server's thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "vtl/base/result.h"
#include "vtl/base/time.h"
#include "vtl/control/socket.h"
#include "vtl/control/source.h"

namespace vtl::control {

class Server {
 public:
  static constexpr std::size_t kMaxConnections = 16;
  static constexpr Duration kRequestTime = 10s;

  /// Answers who comes to `listener`. The source must outlive the server. `on_thread` is what the
  /// server's thread does first: giving up rights.
  [[nodiscard]] static Outcome<std::unique_ptr<Server>> start(
      Listener listener, Source& source, const std::function<void()>& on_thread = [] {});
  /// Ends the thread and every connection, and removes the socket.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  class Loop;
  explicit Server(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace vtl::control
