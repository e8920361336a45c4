#include "vtl/control/client.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vtl::control {
namespace {

// More than the largest listing.
constexpr std::size_t kMaxAnswer = std::size_t{64} << 20;

Outcome<Descriptor> send_request(const std::string& path, const Request& request) {
  auto connection = connect_local(path);
  if (!connection) return connection;
  const auto line = format_request(request);
  if (line.size() > kMaxRequest) {
    return fail(
        fmt::format("the request has {} octets, at most {} are taken", line.size(), kMaxRequest));
  }
  // A request fits into an empty socket's buffer.
  const auto sent = send(connection->get(), line.data(), line.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(line.size())) {
    return fail(fmt::format("control socket {}: {}", path, std::strerror(errno)));
  }
  return connection;
}

// Reads up to the line's end, not an octet further: a dump follows.
Outcome<std::string> read_line(int fd, const std::string& path) {
  std::string line;
  std::array<char, 65536> chunk;
  while (line.size() < kMaxAnswer) {
    auto n = recv(fd, chunk.data(), chunk.size(), MSG_PEEK);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(fmt::format("control socket {}: {}", path, std::strerror(errno)));
    if (n == 0) {
      return fail(
          fmt::format("control socket {}: vtl closed the connection; is it stopping, or "
                      "are too many asking at once?",
                      path));
    }
    const std::string_view seen(chunk.data(), static_cast<std::size_t>(n));
    const auto end = seen.find('\n');
    if (end != std::string_view::npos) n = static_cast<ssize_t>(end) + 1;
    n = recv(fd, chunk.data(), static_cast<std::size_t>(n), 0);
    if (n <= 0) continue;
    line.append(chunk.data(), static_cast<std::size_t>(n));
    if (line.ends_with('\n')) return line;
  }
  return fail(
      fmt::format("control socket {}: the answer is longer than {} octets", path, kMaxAnswer));
}

}  // namespace

Outcome<std::string> ask(const std::string& socket_path, const Request& request) {
  const auto connection = send_request(socket_path, request);
  if (!connection) return std::unexpected(connection.error());
  const auto line = read_line(connection->get(), socket_path);
  if (!line) return line;
  return parse_response(*line);
}

Outcome<Descriptor> open_dump(const std::string& socket_path, const DumpRequest& request) {
  auto connection =
      send_request(socket_path, {.command = Request::Command::kDump, .dump = request});
  if (!connection) return connection;
  const auto line = read_line(connection->get(), socket_path);
  if (!line) return std::unexpected(line.error());
  const auto response = parse_response(*line);
  if (!response) return std::unexpected(response.error());
  return connection;
}

}  // namespace vtl::control
