// MetricsServer: Prometheus metrics over HTTP, GET /metrics.
//
// It answers anyone who can connect, without a password; so the configuration lets it listen on a
// loopback address only, where no guest's frame arrives. Bounds: two requests at once, requests of
// at most 4 KiB, 5 s to send one.
// Thread rule: made and destroyed on one thread; the source is called on the server's threads.
#pragma once

#include <functional>
#include <memory>

#include "vtl/base/result.h"
#include "vtl/control/source.h"
#include "vtl/wire/addresses.h"

namespace vtl::control {

class MetricsServer {
 public:
  /// Port 0: any free one, see port(). The source must outlive the server. `on_thread` is what the
  /// server's first thread does first, which makes the others.
  [[nodiscard]] static Outcome<std::unique_ptr<MetricsServer>> start(
      const wire::SocketAddress& address, Source& source,
      const std::function<void()>& on_thread = [] {});
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  [[nodiscard]] wire::Port port() const noexcept { return port_; }

 private:
  struct Http;
  MetricsServer();
  std::unique_ptr<Http> http_;
  wire::Port port_;
};

}  // namespace vtl::control
