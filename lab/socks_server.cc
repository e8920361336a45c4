#include "lab/socks_server.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

namespace vtl::lab {
namespace {

/// crypt(3) of SocksServer::kPassword.
constexpr const char* kPasswordHash =
    "$6$lab$cOGrT0BhQnVED40r80YnNluOjJV5Zwm.9uUeMYLcML4xg1EZXsJU0"
    "oxqyWsTZ1u9LbJfKuhjmEJ9q.X8PQLbZ1";

Outcome<void> write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) return fail(fmt::format("cannot write {}", path.string()));
  return {};
}

std::string hosts_file(const SocksServerOptions& options) {
  std::string text = "127.0.0.1 localhost\n";
  for (const auto& [name, address] : options.names) text += fmt::format("{} {}\n", address, name);
  return text;
}

std::string dante_settings(const SocksServerOptions& options) {
  std::string blocks;
  for (const auto& network : options.refused)
    blocks += fmt::format("socks block {{\n  from: 0.0.0.0/0 to: {}\n}}\n", network);
  return fmt::format(R"(logoutput: stderr
internal: {} port = {}
external: {}
clientmethod: none
socksmethod: {}
user.privileged: root
user.unprivileged: root
client pass {{
  from: 0.0.0.0/0 to: 0.0.0.0/0
}}
{}socks pass {{
  from: 0.0.0.0/0 to: 0.0.0.0/0
  command: connect
}}
)",
                     options.address, options.port, options.external,
                     options.authentication ? "username" : "none", blocks);
}

std::vector<std::string> microsocks_arguments(const SocksServerOptions& options) {
  std::vector<std::string> argv{"microsocks", "-i", options.address, "-p",
                                std::to_string(options.port)};
  if (options.authentication)
    argv.insert(argv.end(), {"-u", SocksServer::kUser, "-P", SocksServer::kPassword});
  return argv;
}

}  // namespace

Outcome<SocksServer> SocksServer::start(Host& host, const SocksServerOptions& options) {
  const bool dante = options.program == SocksServerOptions::Program::kDante;
  const auto folder = host.folder() / fmt::format("{}-socks-{}", host.name(), options.port);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  std::ostringstream users;
  users << std::ifstream("/etc/passwd").rdbuf() << kUser << ":x:65000:65000::/:/bin/false\n";
  for (const auto& [name, text] :
       {std::pair{"hosts", hosts_file(options)}, std::pair{"passwd", users.str()},
        std::pair{"shadow", fmt::format("{}:{}:19000:0:99999:7:::\n", kUser, kPasswordHash)},
        std::pair{"dante.conf", dante_settings(options)}})
    if (auto written = write_text(folder / name, text); !written)
      return std::unexpected(written.error());

  // Its own view of three files of the machine, which ends with it.
  std::vector<std::string> argv{
      "unshare",
      "--mount",
      "sh",
      "-c",
      R"(for f in hosts passwd shadow; do mount --bind "$0/$f" "/etc/$f" || exit 1; done; exec "$@")",
      folder.string()};
  const auto program =
      dante ? std::vector<std::string>{"danted", "-f", folder / "dante.conf", "-p", folder / "pid"}
            : microsocks_arguments(options);
  argv.insert(argv.end(), program.begin(), program.end());
  auto process = host.start({.argv = std::move(argv), .name = program.front()});
  if (!process) return std::unexpected(process.error());
  if (auto up = process->wait_for_port(Protocol::kTcp, options.port, 10s); !up)
    return std::unexpected(up.error());
  return SocksServer(std::move(*process));
}

}  // namespace vtl::lab
