#include "lab/name_server.h"

#include <fmt/format.h>

#include <fstream>

namespace vtl::lab {

Outcome<void> look_up_at(Host& host, const std::string& address) {
  // One file for all of the sandbox's time: what is mounted over must not be gone.
  const std::filesystem::path file = "/run/lab-resolv.conf";
  const bool known = std::filesystem::exists(file);
  std::ofstream text(file);
  text << fmt::format("nameserver {}\noptions timeout:2 attempts:2\n", address);
  if (!text.flush()) return fail(fmt::format("cannot write {}", file.string()));
  if (known) return {};
  // Outside of the host: a program in a host has mounts of its own, the sandbox's reach all.
  auto mount = Process::start({.argv = {"mount", "--bind", file.string(), "/etc/resolv.conf"}},
                              host.folder());
  if (!mount) return std::unexpected(mount.error());
  if (auto done = mount->wait_ok(5s); !done) return std::unexpected(done.error());
  return {};
}

}  // namespace vtl::lab
