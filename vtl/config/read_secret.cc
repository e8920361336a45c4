// Secrets that stand in files of their own.

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "vtl/config/readers.h"

namespace vtl::config {

bool is_open_to_others(const struct stat& status) {
  return (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

// The first line of the file is the secret; it may end as lines do elsewhere, in CR and LF.
std::optional<std::string> read_secret(Section& section, std::string_view key,
                                       const std::string& written, std::string_view noun,
                                       fmt::string_view how_to_make) {
  const auto path = resolve_path(written, section.diagnostics());
  const auto complain = [&](std::string message) -> std::optional<std::string> {
    section.complain(key, std::move(message));
    return std::nullopt;
  };
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    return complain(fmt::format("{} {}: {}{}", noun, path, std::strerror(errno),
                                fmt::format(fmt::runtime(how_to_make), path)));
  }
  if (!S_ISREG(status.st_mode)) return complain(fmt::format("{} {} is not a file", noun, path));
  if (is_open_to_others(status)) {
    return complain(
        fmt::format("{} {} is open to other users (mode {:04o}); right would be: "
                    "chmod 600 {}",
                    noun, path, status.st_mode & 07777, path));
  }
  std::ifstream file(path);
  std::string secret;
  if (!std::getline(file, secret)) {
    return complain(fmt::format("{} {} cannot be read or is empty", noun, path));
  }
  if (secret.ends_with('\r')) secret.pop_back();
  if (secret.empty()) {
    return complain(fmt::format("the first line of {} {} is empty; it must be the {}", noun, path,
                                noun.substr(0, noun.find(' '))));
  }
  return secret;
}

}  // namespace vtl::config
