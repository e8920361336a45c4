#include "lab/name_server.h"

#include <fmt/format.h>

#include <fstream>

namespace vtl::lab {

Outcome<void> look_up_at(Host& host, const std::string& address) {
  const auto file = host.folder() / "resolv.conf";
  std::ofstream text(file);
  text << fmt::format("nameserver {}\noptions timeout:2 attempts:2\n", address);
  if (!text.flush()) return fail(fmt::format("cannot write {}", file.string()));
  // Outside of the host: a program in a host has mounts of its own, the sandbox's reach all.
  auto mount = Process::start({.argv = {"mount", "--bind", file.string(), "/etc/resolv.conf"}},
                              host.folder());
  if (!mount) return std::unexpected(mount.error());
  if (auto done = mount->wait_ok(5s); !done) return std::unexpected(done.error());
  return {};
}

}  // namespace vtl::lab
