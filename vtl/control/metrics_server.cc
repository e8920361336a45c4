#include "vtl/control/metrics_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "vtl/control/listings.h"

namespace vtl::control {
namespace {

constexpr std::size_t kThreads = 2;
constexpr std::size_t kMaxBody = 4096;
constexpr time_t kReadSeconds = 5;

}  // namespace

struct MetricsServer::Http {
  httplib::Server server;
  std::atomic<bool> ended{false};
  std::thread thread;
};

MetricsServer::MetricsServer() : http_(std::make_unique<Http>()) {}

MetricsServer::~MetricsServer() {
  if (!http_->thread.joinable()) return;
  // The loop may not have begun yet, and a stop() before its beginning would be forgotten.
  while (!http_->server.is_running() && !http_->ended.load()) std::this_thread::yield();
  http_->server.stop();
  http_->thread.join();
}

Outcome<std::unique_ptr<MetricsServer>> MetricsServer::start(
    const wire::SocketAddress& address, Source& source, const std::function<void()>& on_thread) {
  std::unique_ptr<MetricsServer> out(new MetricsServer());
  auto& server = out->http_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_payload_max_length(kMaxBody);
  server.set_read_timeout(kReadSeconds);
  server.set_keep_alive_max_count(1);
  // The library's default would share the port with whoever asks (SO_REUSEPORT).
  server.set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  server.Get("/metrics", [&source](const httplib::Request&, httplib::Response& response) {
    response.set_content(prometheus_text(source.status(), source.list_metrics()),
                         "text/plain; version=0.0.4");
  });

  const auto host = to_string(address.address);
  errno = 0;
  const int port =
      address.port.value() == 0
          ? server.bind_to_any_port(host)
          : (server.bind_to_port(host, address.port.value()) ? address.port.value() : -1);
  if (port < 0) {
    return fail(fmt::format("metrics: cannot listen on {}: {}; choose another address or port",
                            to_string(address), errno == 0 ? "refused" : std::strerror(errno)));
  }
  out->port_ = wire::Port(static_cast<std::uint16_t>(port));
  out->http_->thread = std::thread([http = out->http_.get(), on_thread] {
    on_thread();
    http->server.listen_after_bind();
    http->ended.store(true);
  });
  return out;
}

}  // namespace vtl::control
