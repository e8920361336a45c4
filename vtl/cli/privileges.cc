#include "vtl/cli/privileges.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace vtl::cli {
namespace {

constexpr std::uint64_t bits(std::initializer_list<int> capabilities) {
  std::uint64_t set = 0;
  for (const int capability : capabilities) set |= std::uint64_t{1} << capability;
  return set;
}

struct Sets {
  std::uint64_t effective = 0, permitted = 0, inheritable = 0;
};

using Data = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

Outcome<Sets> current() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Data data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) {
    return fail(fmt::format("cannot read the capabilities: {}", std::strerror(errno)));
  }
  const auto join = [](std::uint32_t low, std::uint32_t high) {
    return std::uint64_t{high} << 32 | low;
  };
  return Sets{join(data[0].effective, data[1].effective),
              join(data[0].permitted, data[1].permitted),
              join(data[0].inheritable, data[1].inheritable)};
}

// The calling thread keeps what it has of `wanted`.
Outcome<void> keep_only(std::uint64_t wanted) {
  const auto now = current();
  if (!now) return std::unexpected(now.error());
  const std::uint64_t kept = now->permitted & wanted;
  const auto low = static_cast<std::uint32_t>(kept);
  const auto high = static_cast<std::uint32_t>(kept >> 32);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  Data data{};
  data[0] = {low, low, 0};
  data[1] = {high, high, 0};
  if (syscall(SYS_capset, &header, data.data()) != 0) {
    return fail(fmt::format("cannot give up capabilities: {}", std::strerror(errno)));
  }
  return {};
}

}  // namespace

Outcome<void> limit_before_opening(bool changes_user) {
  // DAC_OVERRIDE: sockets and capture files of other users, which are opened by path.
  // BPF: the programs of cut-through.
  std::uint64_t wanted =
      bits({CAP_NET_RAW, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_DAC_OVERRIDE, CAP_BPF});
  if (changes_user) wanted |= bits({CAP_SETUID, CAP_SETGID});
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail(fmt::format("cannot set no_new_privs: {}", std::strerror(errno)));
  }
  return keep_only(wanted);
}

void keep_over_user_change() {
  prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

Outcome<void> change_user(const std::string& user) {
  const passwd* const entry = getpwnam(user.c_str());
  if (entry == nullptr) return fail(fmt::format("no user '{}' on this host", user));
  // The C library applies each of these to every thread of the process.
  if (initgroups(user.c_str(), entry->pw_gid) != 0 ||
      setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
      setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
    return fail(fmt::format("cannot become user '{}': {}; start vtl as root, or leave `user` out",
                            user, std::strerror(errno)));
  }
  return {};
}

Outcome<void> limit_to(RunningRights rights) {
  return keep_only((rights.net_admin ? bits({CAP_NET_ADMIN}) : 0) |
                   (rights.bind_service ? bits({CAP_NET_BIND_SERVICE}) : 0) |
                   (rights.change_user ? bits({CAP_SETUID, CAP_SETGID}) : 0));
}

}  // namespace vtl::cli
