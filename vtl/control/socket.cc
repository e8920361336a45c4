#include "vtl/control/socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "vtl/base/log.h"

namespace vtl::control {
namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
constexpr int kBacklog = 8;

std::string reason(int error) {
  return std::generic_category().message(error);
}

Outcome<sockaddr_un> local_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(fmt::format("control socket '{}': the path must have 1 to {} octets", path,
                            sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// 0, or errno.
int connect_to(int fd, const sockaddr_un& address) {
  // The socket interface takes every family's address as a sockaddr.
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  return connect(fd, generic, sizeof(address)) == 0 ? 0 : errno;
}

// Frees the path for a new socket, unless it is in use.
Outcome<void> clear_path(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(
        fmt::format("control socket {}: a file that is no socket stands there; "
                    "choose another path",
                    path));
  }
  const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe || connect_to(probe.get(), address) != ECONNREFUSED) {
    return fail(
        fmt::format("control socket {}: another vtl is running with it; "
                    "stop that one or choose another path",
                    path));
  }
  if (unlink(path.c_str()) != 0) {
    return fail(fmt::format("control socket {}: cannot remove what an ended vtl left: {}", path,
                            reason(errno)));
  }
  return {};
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Listener::~Listener() {
  if (fd_ && unlink(path_.c_str()) != 0 && errno != ENOENT) {
    log::warn("control socket {}: cannot remove it: {}", path_, reason(errno));
  }
}

Outcome<Listener> listen_local(const std::string& path) {
  const auto address = local_address(path);
  if (!address) return std::unexpected(address.error());
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) mkdir(folder.c_str(), S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
  if (auto cleared = clear_path(path, *address); !cleared) {
    return std::unexpected(cleared.error());
  }

  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto failed = [&](int error) {
    return fail(fmt::format("control socket {}: {}", path, reason(error)));
  };
  if (!listener) return failed(errno);
  // Before bind: the file never exists with other rights.
  if (fchmod(listener.get(), kOwnerOnly) != 0) return failed(errno);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&*address);
  if (bind(listener.get(), generic, sizeof(*address)) != 0) return failed(errno);
  if (chmod(path.c_str(), kOwnerOnly) != 0 || listen(listener.get(), kBacklog) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return failed(error);
  }
  return Listener(std::move(listener), path);
}

Outcome<Descriptor> connect_local(const std::string& path) {
  const auto address = local_address(path);
  if (!address) return std::unexpected(address.error());
  Descriptor connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection) return fail(fmt::format("control socket: {}", reason(errno)));
  switch (const int error = connect_to(connection.get(), *address)) {
    case 0:
      return connection;
    case ENOENT:
    case ECONNREFUSED:
      return fail(
          fmt::format("no vtl is running with the control socket {}; "
                      "start one with: vtl run FILE, or name its socket: --socket PATH",
                      path));
    case EACCES:
    case EPERM:
      return fail(
          fmt::format("no right to use the control socket {}; run as its owner or as root", path));
    default:
      return fail(fmt::format("control socket {}: {}", path, reason(error)));
  }
}

}  // namespace vtl::control
