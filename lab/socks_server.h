// SocksServer: a real SOCKS 5 server in a host: dante or microsocks.
//
// The names that it can resolve are those of its options: it has a hosts file of its own, and, for
// dante's passwords, which are those of the machine's users, a user of its own.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lab/host.h"

namespace vtl::lab {

struct SocksServerOptions {
  enum class Program : std::uint8_t { kDante, kMicrosocks } program = Program::kDante;
  std::string address = "127.0.0.1";  ///< to listen on
  std::uint16_t port = 1080;
  /// With the user kUser and the password kPassword only.
  bool authentication = false;
  std::map<std::string, std::string> names{};  ///< to addresses
  std::string external{};                      ///< dante: the device or address it connects from
  /// Dante: networks to which it connects nobody, whether their address is asked for or a name's
  /// is.
  std::vector<std::string> refused{};
};

class SocksServer {
 public:
  static constexpr const char* kUser = "vtl-guest";
  static constexpr const char* kPassword = "correct horse";

  /// It listens when this returns.
  [[nodiscard]] static Outcome<SocksServer> start(Host& host, const SocksServerOptions& options);

  [[nodiscard]] Process& process() noexcept { return process_; }

 private:
  explicit SocksServer(Process process) : process_(std::move(process)) {}
  Process process_;
};

}  // namespace vtl::lab
