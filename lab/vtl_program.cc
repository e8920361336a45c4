#include "lab/vtl_program.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

namespace vtl::lab {

std::filesystem::path vtl_binary() {
  const char* const chosen = std::getenv("VTL_BINARY");
  return chosen != nullptr && *chosen != '\0' ? chosen : VTL_LAB_DEFAULT_VTL;
}

Outcome<Process> start_vtl(Host& host, const std::string& config, const VtlOptions& options) {
  const std::filesystem::path binary = options.binary.empty() ? vtl_binary() : options.binary;
  if (!std::filesystem::exists(binary)) {
    return fail(
        fmt::format("there is no {}: build the target vtl_program_vtl, or name another "
                    "program in VTL_BINARY",
                    binary.string()));
  }
  const auto file = host.folder() / fmt::format("{}-{}.yaml", host.name(), options.name);
  std::ofstream out(file);
  out << config;
  if (!out.flush()) return fail(fmt::format("cannot write {}", file.string()));
  std::filesystem::permissions(file, std::filesystem::perms(0600));  // it may hold a key
  Program program{.argv = options.prefix, .name = options.name};
  program.argv.insert(program.argv.end(), {binary.string(), "run", file.string()});
  program.argv.insert(program.argv.end(), options.arguments.begin(), options.arguments.end());
  auto process = host.start(std::move(program));
  if (!process) return process;
  if (auto ready = process->wait_for_line(R"(\brunning: )", options.ready_within); !ready) {
    return std::unexpected(ready.error());
  }
  return process;
}

}  // namespace vtl::lab
