// Theory of operation. The order is what matters: read and check everything, give up the rights
// that nothing needs, take the control socket (a second vtl with it ends here, before it touches
// anything of the first's), open (the engine opens all or nothing), answer on the control surfaces,
// give up more rights, say that it runs, wait. The signals that end it are blocked before any
// thread exists and taken by the main thread alone. The first asks the streams to end; the second
// ends the process.

#include "vtl/cli/run.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/cli/app.h"
#include "vtl/cli/privileges.h"
#include "vtl/config/build.h"
#include "vtl/control/engine_source.h"
#include "vtl/control/metrics_server.h"
#include "vtl/control/server.h"
#include "vtl/iface/seal.h"

namespace vtl::cli {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

void set_up_log(config::LogLevel level) {
  static const auto logger = spdlog::stderr_color_mt("vtl");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn, spdlog::level::err};
  logger->set_level(kLevels[static_cast<std::size_t>(level)]);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(logger);
}

int failed(const std::string& message) {
  log::error("{}", message);
  return kFailure;
}

// Ends the process at the second signal, whatever the first one's stop is waiting for.
class Impatience {
 public:
  Impatience()
      : thread_([](const std::stop_token& stop) {
          const sigset_t signals = ending_signals();
          constexpr timespec kLook = {.tv_sec = 0, .tv_nsec = 100'000'000};
          while (!stop.stop_requested()) {
            if (sigtimedwait(&signals, nullptr, &kLook) > 0) {
              log::warn("second signal: ending at once");
              _exit(kFailure);
            }
          }
        }) {}

 private:
  std::jthread thread_;
};

RunningRights rights_of(const config::Config& config) {
  return {.net_admin = !config.peers.empty() || !config.interfaces.empty(),
          .bind_service = !config.peers.empty()};
}

// A worker opens its interfaces first, then its transports: in between it gives up what only
// interfaces take, and the threads that a transport's library makes never have it.
void limit_before_transports(engine::EngineConfig& description, const config::Config& config) {
  for (auto& peer : description.peers) {
    auto rights = rights_of(config);
    rights.change_user = config.user.has_value();
    peer.open = [open = std::move(peer.open), rights](
                    Reactor& reactor,
                    std::uint32_t workers) -> Outcome<std::unique_ptr<transport::Transport>> {
      if (auto limited = limit_to(rights); !limited) return std::unexpected(limited.error());
      return open(reactor, workers);
    };
  }
}

// Every thread of VTL's keeps only what running needs.
Outcome<void> drop_privileges(engine::Engine& engine, const config::Config& config) {
  const auto rights = rights_of(config);
  const auto on_workers = [&](const std::function<void()>& task) {
    std::latch done(engine.workers());
    for (std::uint32_t worker = 0; worker < engine.workers(); ++worker) {
      engine.post(worker, [&](engine::Worker&) {
        task();
        done.count_down();
      });
    }
    done.wait();
  };
  if (config.user) {
    keep_over_user_change();
    on_workers(keep_over_user_change);
    if (auto changed = change_user(*config.user); !changed) return changed;
  }
  std::atomic<bool> good = true;
  on_workers([&] {
    if (!limit_to(rights)) good = false;
  });
  if (!good) return fail("cannot give up capabilities on a worker");
  return limit_to(rights);
}

std::string summary(const config::Config& config) {
  return fmt::format("{} link{}, {} interface{}, {} peer{}, {} worker{}", config.links.size(),
                     config.links.size() == 1 ? "" : "s", config.interfaces.size(),
                     config.interfaces.size() == 1 ? "" : "s", config.peers.size(),
                     config.peers.size() == 1 ? "" : "s", config.workers,
                     config.workers == 1 ? "" : "s");
}

// The threads of the control surfaces need none. A change of the user takes them away by itself,
// and must be possible on every thread until then.
void give_up_all_rights() {
  if (auto limited = limit_to({}); !limited) log::warn("{}", limited.error().message);
}

int run_until_signal(engine::Engine& engine, const config::Config& config,
                     std::optional<control::Listener> listener) {
  const sigset_t signals = ending_signals();
  control::EngineSource source(engine, [] { kill(getpid(), SIGTERM); });
  std::unique_ptr<control::Server> server;
  std::unique_ptr<control::MetricsServer> metrics;
  const std::function<void()> on_thread = config.user ? +[] {} : give_up_all_rights;
  if (listener) {
    auto started = control::Server::start(std::move(*listener), source, on_thread);
    if (!started) return failed(started.error().message);
    server = std::move(*started);
  }
  if (config.control.metrics) {
    auto started = control::MetricsServer::start(*config.control.metrics, source, on_thread);
    if (!started) return failed(started.error().message);
    metrics = std::move(*started);
  }
  if (auto dropped = drop_privileges(engine, config); !dropped) {
    return failed(dropped.error().message);
  }
  log::info("running: {}", summary(config));
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("stopping: streams get {} s to end; another signal ends at once",
            std::chrono::duration<double>(config.stop_grace).count());
  return kSuccess;
}

// Each connection through a proxy takes a descriptor.
void raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log::warn("cannot raise the limit of open files: {}", std::strerror(errno));
  }
}

int run_config(const config::Config& config) {
  set_up_log(config.log_level);
  raise_open_files();
  auto description = config::build(config);
  if (!description) {
    fmt::print(stderr, "{}\n", description.error().message);
    return kUsage;
  }
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  if (auto limited = limit_before_opening(config.user.has_value()); !limited) {
    return failed(limited.error().message);
  }
  limit_before_transports(*description, config);
  description->on_interface_closed = [](const std::string& name) {
    log::warn("interface '{}' will deliver no more frames", name);
  };

  std::optional<control::Listener> listener;
  if (!config.control.socket.empty()) {
    auto listening = control::listen_local(config.control.socket);
    if (!listening) return failed(listening.error().message);
    listener.emplace(std::move(*listening));
  }
  engine::Engine engine;
  if (auto started = engine.start(std::move(*description)); !started) {
    return failed(fmt::format("{}: {}", config.file, started.error().message));
  }
  const int code = run_until_signal(engine, config, std::move(listener));
  const Impatience impatience;
  if (!engine.stop(code == kSuccess ? config.stop_grace : Duration::zero())) {
    log::warn("streams were still open after the grace and were reset");
  }
  log::info("stopped");
  return code;
}

}  // namespace

int check_file(const std::string& path) {
  const auto config = config::load_config(path);
  if (!config) {
    for (const auto& mistake : config.error()) fmt::print(stderr, "{}\n", mistake);
    return kUsage;
  }
  fmt::print("{}: good: {}\n", path, summary(*config));
  return kSuccess;
}

int run_file(const std::string& path) {
  const auto config = config::load_config(path);
  if (!config) {
    for (const auto& mistake : config.error()) fmt::print(stderr, "{}\n", mistake);
    return kUsage;
  }
  return run_config(*config);
}

int unseal(const std::string& device) {
  const auto removed = iface::Seal::remove(device);
  if (!removed) {
    fmt::print(stderr, "vtl: {}\n", removed.error().message);
    return kFailure;
  }
  fmt::print("{}: {}\n", device,
             *removed ? "unsealed: guest and host reach each other" : "there was no seal");
  return kSuccess;
}

int run_bridge(const BridgeArguments& arguments) {
  config::Config config;
  config.file = "bridge";
  config.workers = arguments.workers;
  config.control.socket = arguments.socket;
  const auto interface = [](const std::string& device) {
    iface::AfPacketOptions options;
    options.device = device;
    return config::InterfaceConfig{device, options};
  };
  if (arguments.guest == arguments.network) {
    fmt::print(stderr, "bridge: name two different devices, not '{}' twice\n", arguments.guest);
    return kUsage;
  }
  config.interfaces = {interface(arguments.guest), interface(arguments.network)};
  config.links = {
      {.name = "bridge", .guest = arguments.guest, .network = arguments.network, .services = {}}};
  return run_config(config);
}

}  // namespace vtl::cli
