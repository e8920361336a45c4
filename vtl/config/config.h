// Config: what a configuration file says, as typed values; and how a file becomes one.
//
// Names are resolved, ranges checked, keys read: what is here can be built (build.h), as far as the
// file alone can tell. Nothing is opened or started by reading. Thread rule: values.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/config/interface_options.h"
#include "vtl/config/service_options.h"
#include "vtl/transport/options.h"
#include "vtl/transport/socks_options.h"
#include "vtl/wire/addresses.h"

namespace vtl::config {

struct InterfaceConfig {
  std::string name;
  InterfaceOptions options;
};

enum class TransportKind : std::uint8_t { kUdt, kTcp };

struct PeerConfig {
  TransportKind transport = TransportKind::kUdt;
  transport::Options options;  ///< name included
};

/// Whether the kernel forwards the flows of a link that no service need see.
enum class CutThroughUse : std::uint8_t { kAuto, kOn, kOff };

struct LinkConfig {
  std::string name;
  std::string guest;
  std::optional<std::string> network;
  std::vector<ServiceOptions> services;  ///< from guest to network
  bool observe_flows = true;             ///< list connections that no service has taken
  CutThroughUse cut_through = CutThroughUse::kAuto;
};

/// Whether no service of the link must see every frame.
[[nodiscard]] bool may_cut_through(const LinkConfig& link);

struct ControlConfig {
  std::string socket;                          ///< path; empty: no control socket
  std::optional<wire::SocketAddress> metrics;  ///< a loopback address
};

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct Config {
  std::string file;
  std::uint32_t workers = 1;
  Duration busy_poll{};
  std::size_t packet_memory = std::size_t{512} << 20;  ///< of each worker
  std::optional<std::uint64_t> seed;
  Duration stop_grace = 5s;
  LogLevel log_level = LogLevel::kInfo;
  std::optional<std::string> user;
  ControlConfig control;
  std::vector<InterfaceConfig> interfaces;
  std::vector<PeerConfig> peers;
  std::vector<transport::SocksOptions> proxies;
  std::vector<LinkConfig> links;
};

/// All mistakes of a file, each "file:line:column: what is wrong and what would be right".
using Mistakes = std::vector<std::string>;

[[nodiscard]] std::expected<Config, Mistakes> load_config(const std::string& path);
/// `file`: how messages call it; paths inside are relative to its folder.
[[nodiscard]] std::expected<Config, Mistakes> parse_config(const std::string& text,
                                                           const std::string& file);

}  // namespace vtl::config
