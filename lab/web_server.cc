#include "lab/web_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "lab/wait.h"
#include "vtl/base/rng.h"

namespace vtl::lab {
namespace {

Outcome<void> write_random(const std::filesystem::path& path, std::uint64_t octets) {
  std::ofstream file(path, std::ios::binary);
  Rng rng(octets);
  for (std::uint64_t left = octets; left > 0;) {
    const std::uint64_t word = rng.next();
    const std::uint64_t n = std::min<std::uint64_t>(left, sizeof word);
    file.write(reinterpret_cast<const char*>(&word), static_cast<std::streamsize>(n));
    left -= n;
  }
  if (!file.flush()) return fail(fmt::format("cannot write {}", path.string()));
  return {};
}

/// One worker, as the user who runs it; all its files in `folder`.
std::string configuration(const std::filesystem::path& folder, std::uint16_t port) {
  return fmt::format(R"(daemon off;
user root;
worker_processes 1;
error_log stderr;
pid "{0}/pid";
events {{ worker_connections 16384; }}
worker_rlimit_nofile 20000;
http {{
  log_format short '$remote_addr $request_uri $status';
  access_log "{0}/access.log" short;
  client_body_temp_path "{0}/temporary";
  proxy_temp_path "{0}/temporary";
  fastcgi_temp_path "{0}/temporary";
  uwsgi_temp_path "{0}/temporary";
  scgi_temp_path "{0}/temporary";
  sendfile on;
  server {{
    listen {1};
    listen [::]:{1};
    root "{0}/files";
  }}
}}
)",
                     folder.string(), port);
}

}  // namespace

Outcome<WebServer> WebServer::start(Host& host, const WebServerOptions& options) {
  const auto folder = host.folder() / fmt::format("{}-web-{}", host.name(), options.port);
  std::error_code error;
  std::filesystem::create_directories(folder / "files", error);
  if (error) return fail(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  std::ofstream(folder / "files" / "index.html") << kIndex;
  std::ofstream(folder / "access.log").flush();
  const auto file = folder / fmt::format("files{}", kFile);
  if (auto written = write_random(file, options.file_octets); !written)
    return std::unexpected(written.error());
  auto sha256 = sha256_of(host, file);
  if (!sha256) return std::unexpected(sha256.error());
  const auto conf = folder / "nginx.conf";
  std::ofstream(conf) << configuration(folder, options.port);
  auto process =
      host.start({.argv = {"nginx", "-p", folder.string(), "-c", conf.string(), "-e", "stderr"}});
  if (!process) return std::unexpected(process.error());
  if (auto up = process->wait_for_port(Protocol::kTcp, options.port, 10s); !up)
    return std::unexpected(up.error());
  return WebServer(std::move(*process), folder / "access.log", std::move(*sha256));
}

std::vector<std::string> WebServer::log() const {
  std::vector<std::string> lines;
  std::ifstream file(log_);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

Outcome<std::string> WebServer::visitor_of(const std::string& uri, Duration bound) {
  std::string visitor;
  const auto seen = [&] {
    for (const std::string& line : log()) {
      const auto space = line.find(' ');
      if (space != std::string::npos && line.substr(space + 1).starts_with(uri + " "))
        visitor = line.substr(0, space);
    }
    return !visitor.empty();
  };
  if (!wait_until(seen, bound)) return fail(fmt::format("nobody has asked the server for {}", uri));
  return visitor;
}

Outcome<std::string> sha256_of(const Host& host, const std::filesystem::path& file) {
  auto said = host.output_of({"sha256sum", file.string()}, 60s);
  if (said) said->resize(std::min<std::size_t>(said->size(), 64));
  return said;
}

}  // namespace vtl::lab
