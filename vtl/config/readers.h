// Readers: the parts of a configuration file. Internal to config/.
//
// Each reads one part, complains about every mistake in it, and returns what it understood; whether
// anything was wrong is asked of the diagnostics at the end.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/config/config.h"
#include "vtl/config/section.h"

namespace vtl::config {

std::optional<InterfaceOptions> read_interface(const Node& node, const std::string& name,
                                               Diagnostics& diagnostics);

std::vector<PeerConfig> read_peers(const Node& node, Diagnostics& diagnostics);

/// The names that links may refer to.
struct Names {
  std::vector<std::string_view> interfaces;
  std::vector<std::string_view> peers;
};

std::vector<LinkConfig> read_links(const Node& node, const Names& names, Diagnostics& diagnostics);

/// One entry of a chain: `kind: { options }`, or `kind` alone.
std::optional<ServiceOptions> read_service(const Node& node, const std::string& link,
                                           const Names& names, Diagnostics& diagnostics);

/// Complains unless `name` is 1 to 64 letters, digits, '-', '_' and '.'.
bool check_name(std::string_view name, std::string_view thing, Mark mark, Diagnostics& diagnostics);

/// A path as written in the file, made relative to the file's folder.
[[nodiscard]] std::string resolve_path(const std::string& path, const Diagnostics& diagnostics);
/// The same for a unix socket; complains at `key` when the kernel does not take a path so long.
[[nodiscard]] std::string resolve_socket(Section& section, std::string_view key,
                                         const std::string& path);

/// Complains about the gateways that several workers cannot serve (check_workers.cc). `links`: the
/// list in the file; everything in it and in `config` is right otherwise.
void check_workers(const Node& links, const Config& config, Diagnostics& diagnostics);

}  // namespace vtl::config
