// WebServer: nginx in a host, with one file of known content and a log of who asked for what.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/host.h"

namespace vtl::lab {

struct WebServerOptions {
  std::uint16_t port = 80;                ///< of every address of the host, IPv4 and IPv6
  std::uint64_t file_octets = 2'000'000;  ///< of kFile: seeded random octets
};

class WebServer {
 public:
  static constexpr const char* kIndex = "this is the index\n";  ///< content of "/"
  static constexpr const char* kFile = "/data.bin";

  /// Its files are in the host's folder.
  [[nodiscard]] static Outcome<WebServer> start(Host& host, const WebServerOptions& options = {});

  /// Of kFile, in hexadecimal digits.
  [[nodiscard]] const std::string& sha256() const noexcept { return sha256_; }
  /// Waits until a request for `uri` ("/?mine") is finished and answers the address that the last
  /// one came from.
  [[nodiscard]] Outcome<std::string> visitor_of(const std::string& uri, Duration bound = 5s);
  /// "ADDRESS URI STATUS" of every request that is finished.
  [[nodiscard]] std::vector<std::string> log() const;
  [[nodiscard]] Process& process() noexcept { return process_; }

 private:
  WebServer(Process process, std::filesystem::path log, std::string sha256)
      : process_(std::move(process)), log_(std::move(log)), sha256_(std::move(sha256)) {}

  Process process_;
  std::filesystem::path log_;
  std::string sha256_;
};

/// Of a file, in hexadecimal digits, as sha256sum(1) tells it.
[[nodiscard]] Outcome<std::string> sha256_of(const Host& host, const std::filesystem::path& file);

}  // namespace vtl::lab
