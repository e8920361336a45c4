// Readers: the parts of a configuration file. Internal to config/.
//
// Each reads one part, complains about every mistake in it, and returns what it understood; whether
// anything was wrong is asked of the diagnostics at the end.
#pragma once

#include <fmt/core.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/function_ref.h"
#include "vtl/config/config.h"
#include "vtl/config/section.h"
#include "vtl/wire/ip_network.h"

struct stat;

namespace vtl::config {

std::optional<InterfaceOptions> read_interface(const Node& node, const std::string& name,
                                               Diagnostics& diagnostics);

std::vector<PeerConfig> read_peers(const Node& node, Diagnostics& diagnostics);

std::vector<transport::SocksOptions> read_proxies(const Node& node, Diagnostics& diagnostics);

/// The names that links may refer to.
struct Names {
  std::vector<std::string_view> interfaces;
  std::vector<std::string_view> peers;
  std::vector<std::string_view> proxies;
};

std::vector<LinkConfig> read_links(const Node& node, const Names& names, Diagnostics& diagnostics);

service::AnonymizerOptions read_anonymizer(Section& section, const Names& names);
/// What every service that plays TCP ends is bounded by.
template <class Options>
void read_limits(Section& section, Options& options) {
  section.integer("max_connections", options.max_connections, 1, 1'000'000);
  section.integer("max_half_open", options.max_half_open, 1, 1'000'000);
  section.size("buffer", options.buffer, std::uint64_t{16} << 10, std::uint64_t{1} << 30);
  section.size("memory", options.memory, std::uint64_t{1} << 20, std::uint64_t{1} << 40);
  section.duration("keep_alive", options.keep_alive, 0s, 24h);
  section.duration("time_wait", options.time_wait, 0s, 240s);
  if (options.memory < options.buffer) {
    section.complain("memory", fmt::format("'memory' in {} is less than the 'buffer' of a single "
                                           "connection",
                                           section.what()));
  }
}

/// One entry of a chain: `kind: { options }`, or `kind` alone.
std::optional<ServiceOptions> read_service(const Node& node, const std::string& link,
                                           const Names& names, Diagnostics& diagnostics);

/// Complains unless `name` is 1 to 64 letters, digits, '-', '_' and '.'.
bool check_name(std::string_view name, std::string_view thing, Mark mark, Diagnostics& diagnostics);

/// The network that stands in `node`, a part of the value of `key`; complains there.
[[nodiscard]] std::optional<wire::IpNetwork> read_network(const Node& node, const Section& section,
                                                          std::string_view key);
/// Calls `read` with each item of a list, or with the one value that stands in place of a list.
void for_each_item(Section& section, std::string_view key, std::string_view example,
                   FunctionRef<void(const Node&)> read);

/// A path as written in the file, made relative to the file's folder.
[[nodiscard]] std::string resolve_path(const std::string& path, const Diagnostics& diagnostics);
/// The same for a unix socket; complains at `key` when the kernel does not take a path so long.
[[nodiscard]] std::string resolve_socket(Section& section, std::string_view key,
                                         const std::string& path);

[[nodiscard]] bool is_open_to_others(const struct stat& status);
/// The first line of the file that is written at `key`; complains, at `key`, about a file that is
/// not there or not its owner's alone. `noun`: what messages call it, "key file"; `how_to_make`: a
/// format that gets the path, told when there is no file.
[[nodiscard]] std::optional<std::string> read_secret(Section& section, std::string_view key,
                                                     const std::string& written,
                                                     std::string_view noun = "password file",
                                                     fmt::string_view how_to_make = "");

/// The node of the first service of a kind in a link, as the file has it; null: it has none.
[[nodiscard]] const Node* service_of(const Node& link, std::string_view kind);

/// Complains about anonymizers that could leak or not do what they say (check_anonymizers.cc), and
/// seals their guests' devices where the file does not say otherwise. As check_workers().
void check_anonymizers(const Node& links, Config& config, Diagnostics& diagnostics);

/// Complains about the gateways that several workers cannot serve (check_workers.cc). `links`: the
/// list in the file; everything in it and in `config` is right otherwise.
void check_workers(const Node& links, const Config& config, Diagnostics& diagnostics);

}  // namespace vtl::config
