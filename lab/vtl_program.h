// start_vtl(): runs the product in a host, as its users do: `vtl run FILE`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lab/host.h"

namespace vtl::lab {

struct VtlOptions {
  std::string name = "vtl";              ///< of its files in the host's folder
  std::filesystem::path binary{};        ///< empty: vtl_binary()
  std::vector<std::string> prefix{};     ///< run under this, as {"strace", "-f", "-o", "trace"}
  std::vector<std::string> arguments{};  ///< after FILE
  Duration ready_within = 10s;
};

/// $VTL_BINARY, or the `vtl` of this build.
[[nodiscard]] std::filesystem::path vtl_binary();

/// Writes `config` (YAML) to HOST-NAME.yaml in the host's folder, starts `vtl run` on it and waits
/// until VTL says "running: ...", which it does once everything is open. Process::stop() ends it
/// gracefully.
[[nodiscard]] Outcome<Process> start_vtl(Host& host, const std::string& config,
                                         const VtlOptions& options = {});

}  // namespace vtl::lab
