#include "lab/sandbox.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/if.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "lab/fd.h"

namespace vtl::lab {
namespace {

std::optional<Sandbox> entered;

/// What the init tells the supervisor through the status pipe, in this order: one Report, and,
/// when it was kReady, the worker's wait status as an int.
struct Report {
  enum Kind : int { kReady, kNoProc, kFailed } kind = kFailed;
  int error = 0;
  char step[64] = {};
};

struct Pipe {
  Fd read, write;
};

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

bool write_text(const std::string& path, const std::string& text) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool read_all(int fd, void* to, std::size_t size) {
  auto* at = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t n = ::read(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

// --- the user mapping -------------------------------------------------------------------------

/// The first range of subordinate ids that `path` (/etc/subuid, /etc/subgid) gives to the caller.
std::optional<std::pair<std::string, std::string>> subordinate_ids(const char* path) {
  const passwd* user = ::getpwuid(::geteuid());
  const std::string name = user != nullptr ? user->pw_name : "";
  const std::string id = std::to_string(::geteuid());
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string owner = line.substr(0, first);
    if (owner != id && (name.empty() || owner != name)) continue;
    return std::pair(line.substr(first + 1, second - first - 1), line.substr(second + 1));
  }
  return std::nullopt;
}

bool run_map_tool(const char* tool, pid_t pid, unsigned own, const char* ranges) {
  const auto range = subordinate_ids(ranges);
  if (!range) return false;
  const std::string target = std::to_string(pid);
  const std::string self = std::to_string(own);
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    ::execlp(tool, tool, target.c_str(), "0", self.c_str(), "1", "1", range->first.c_str(),
             range->second.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

/// Makes the caller root in the user namespace of `pid`. Answers whether a whole range is mapped.
std::optional<bool> map_users(pid_t pid) {
  if (run_map_tool("newuidmap", pid, ::geteuid(), "/etc/subuid")) {
    if (run_map_tool("newgidmap", pid, ::getegid(), "/etc/subgid")) return true;
    return std::nullopt;
  }
  const std::string proc = fmt::format("/proc/{}/", pid);
  const bool denied = write_text(proc + "setgroups", "deny") || errno == ENOENT;
  if (!denied || !write_text(proc + "uid_map", fmt::format("0 {} 1", ::geteuid())) ||
      !write_text(proc + "gid_map", fmt::format("0 {} 1", ::getegid()))) {
    return std::nullopt;
  }
  return false;
}

// --- the init -----------------------------------------------------------------------------------

bool bring_loopback_up() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (!socket || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

/// Sets the world up; the report says which step failed.
Report furnish(bool pid_namespace) {
  Report report;
  const auto failed = [&](const char* step) {
    report.error = errno;
    std::strncpy(report.step, step, sizeof report.step - 1);
    return report;
  };
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return failed("make the mounts private");
  }
  // Shared among the processes inside, so that a namespace named later is seen by all of them.
  if (::mount("none", "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) {
    return failed("share the mounts inside");
  }
  if (::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
    return failed("mount an empty /run");
  }
  if (::mkdir("/run/netns", 0755) != 0 || ::mkdir("/run/lock", 0777) != 0) {
    return failed("make /run/netns");
  }
  if (pid_namespace &&
      ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    report.kind = Report::kNoProc;
    return report;
  }
  // The machine's own /sys would show the devices of the network namespace outside. Programs
  // that look there are few: a sandbox without it still works.
  (void)::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  if (!bring_loopback_up()) return failed("bring the loopback device up");
  report.kind = Report::kReady;
  return report;
}

std::vector<pid_t> children_of_self() {
  std::vector<pid_t> children;
  std::ifstream file(fmt::format("/proc/self/task/{}/children", ::getpid()));
  for (pid_t pid = 0; file >> pid;) children.push_back(pid);
  return children;
}

/// Without a PID namespace: kills all that is left, which reparents its children to this process.
void kill_descendants() {
  for (auto children = children_of_self(); !children.empty(); children = children_of_self()) {
    for (const pid_t pid : children) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
}

/// Signals that a person or program sends to the supervisor and means for the worker.
bool is_passed_on(const siginfo_t& info) {
  return info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
}

/// Reaps and passes signals on until the worker has ended, and answers its wait status, or until
/// the supervisor has.
int keep_house(pid_t worker, pid_t supervisor) {
  sigset_t all;
  ::sigfillset(&all);
  for (;;) {
    siginfo_t info{};
    if (::sigwaitinfo(&all, &info) < 0) continue;
    if (::getppid() != supervisor) return SIGKILL;
    if (info.si_signo != SIGCHLD) {
      if (is_passed_on(info)) ::kill(worker, info.si_signo);
      continue;
    }
    int status = 0;
    for (pid_t ended; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended == worker) return status;
    }
  }
}

struct Attempt {
  bool user_namespace;
  bool pid_namespace;
};

/// The life of the init. Returns only in the worker.
void be_init(Attempt attempt, Pipe go, Pipe status, const sigset_t& original_mask) {
  // Without a PID namespace the init has to outlive the supervisor for a moment, to kill the rest.
  ::prctl(PR_SET_PDEATHSIG, attempt.pid_namespace ? SIGKILL : SIGHUP);
  const pid_t supervisor = ::getppid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "lab-init");
  go.write.reset();
  status.read.reset();
  char byte = 0;
  if (!read_all(go.read.get(), &byte, 1)) ::_exit(1);
  const Report report = furnish(attempt.pid_namespace);
  // SIGPIPE is blocked: a supervisor that is gone shows as a failed write.
  if (::write(status.write.get(), &report, sizeof report) != sizeof report) ::_exit(1);
  if (report.kind != Report::kReady) ::_exit(1);
  if (!read_all(go.read.get(), &byte, 1)) ::_exit(1);

  const pid_t worker = ::fork();
  if (worker == 0) {
    if (!attempt.pid_namespace) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::pthread_sigmask(SIG_SETMASK, &original_mask, nullptr);
    return;
  }
  // fork() fails only when the machine is out of processes: told as a killed worker.
  const int result = worker > 0 ? keep_house(worker, supervisor) : SIGKILL;
  if (!attempt.pid_namespace) kill_descendants();
  (void)!::write(status.write.get(), &result, sizeof result);
  ::_exit(0);
}

// --- the supervisor ----------------------------------------------------------------------------

[[noreturn]] void end_as(int status) {
  if (WIFSIGNALED(status)) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);  // the worker has written its own
    ::signal(WTERMSIG(status), SIG_DFL);
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, WTERMSIG(status));
    ::raise(WTERMSIG(status));
    ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/// Passes signals to the init until it has ended, then ends as the worker did.
[[noreturn]] void supervise(pid_t init, Fd status_pipe) {
  sigset_t all;
  ::sigfillset(&all);
  for (;;) {
    siginfo_t info{};
    if (::sigwaitinfo(&all, &info) < 0) continue;
    if (info.si_signo != SIGCHLD) {
      if (is_passed_on(info)) ::kill(init, info.si_signo);
      continue;
    }
    int init_status = 0;
    if (::waitpid(init, &init_status, WNOHANG) != init) continue;
    int status = SIGKILL;  // an init that could not report was killed itself
    (void)!read_all(status_pipe.get(), &status, sizeof status);
    end_as(status);
  }
}

bool has_admin_rights() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("CapEff:", 0) == 0) {
      constexpr unsigned kSysAdmin = 21;
      return (std::strtoull(line.c_str() + 7, nullptr, 16) >> kSysAdmin & 1) != 0;
    }
  }
  return false;
}

std::string first_line_of(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string why_no_user_namespace(const std::string& what) {
  std::string hint;
  if (first_line_of("/proc/sys/user/max_user_namespaces") == "0") {
    hint = "set sysctl user.max_user_namespaces above 0";
  } else if (first_line_of("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    hint = "set sysctl kernel.unprivileged_userns_clone=1";
  } else if (first_line_of("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    hint = "set sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  } else {
    hint = "in a container, give it CAP_SYS_ADMIN and CAP_NET_ADMIN";
  }
  return fmt::format(
      "the lab needs namespaces of its own and may not make them ({}): run it as root, or {}", what,
      hint);
}

enum class Mode { kEnter, kProbe };

struct Try {
  Outcome<Sandbox> outcome = fail("");
  bool again_without_pids = false;
};

Try attempt_sandbox(Attempt attempt, Mode mode, const sigset_t& original_mask) {
  auto go = make_pipe();
  auto status = make_pipe();
  if (!go || !status) return {fail(fmt::format("no pipe: {}", std::strerror(errno))), false};
  unsigned long flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
  if (attempt.user_namespace) flags |= CLONE_NEWUSER;
  if (attempt.pid_namespace) flags |= CLONE_NEWPID;
  const auto init = static_cast<pid_t>(::syscall(SYS_clone, flags, 0, 0, 0, 0));
  Sandbox sandbox{attempt.user_namespace, false, attempt.pid_namespace};
  if (init == 0) {
    be_init(attempt, std::move(*go), std::move(*status), original_mask);
    return {sandbox, false};
  }
  if (init < 0) return {fail(why_no_user_namespace(std::strerror(errno))), false};
  go->read.reset();
  status->write.reset();
  const auto give_up = [&](std::string message) -> Try {
    go->write.reset();
    ::kill(init, SIGKILL);
    ::waitpid(init, nullptr, 0);
    return {fail(std::move(message)), false};
  };
  if (attempt.user_namespace) {
    const auto mapped = map_users(init);
    if (!mapped) {
      return give_up(why_no_user_namespace(fmt::format("user mapping: {}", std::strerror(errno))));
    }
    sandbox.many_users = *mapped;
  }
  Report report;
  if (::write(go->write.get(), "m", 1) != 1 ||
      !read_all(status->read.get(), &report, sizeof report)) {
    return give_up("the sandbox's first process ended early");
  }
  if (report.kind == Report::kNoProc) {
    give_up("");
    return {fail("/proc cannot be mounted"), true};
  }
  if (report.kind == Report::kFailed) {
    return give_up(
        why_no_user_namespace(fmt::format("{}: {}", report.step, std::strerror(report.error))));
  }
  if (mode == Mode::kProbe) {
    give_up("");
    return {sandbox, false};
  }
  (void)!::write(go->write.get(), sandbox.many_users ? "M" : "m", 1);
  supervise(init, std::move(status->read));
}

Outcome<Sandbox> make_sandbox(Mode mode) {
  sigset_t all, original;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &original);
  Attempt attempt{.user_namespace = !has_admin_rights(), .pid_namespace = true};
  Try result = attempt_sandbox(attempt, mode, original);
  if (!result.outcome && result.again_without_pids) {
    attempt.pid_namespace = false;
    result = attempt_sandbox(attempt, mode, original);
  }
  ::pthread_sigmask(SIG_SETMASK, &original, nullptr);
  return result.outcome;
}

}  // namespace

Outcome<Sandbox> try_enter_sandbox() {
  auto sandbox = make_sandbox(Mode::kEnter);
  if (sandbox) {
    // The supervisor knows whether a range was mapped; inside, the mapping itself tells.
    std::ifstream map("/proc/self/uid_map");
    unsigned long inside = 0, outside = 0, count = 0, total = 0;
    while (map >> inside >> outside >> count) total += count;
    sandbox->many_users = total > 1;
    // Root's programs, which an ordinary user's PATH may leave out.
    const char* const path = std::getenv("PATH");
    ::setenv("PATH",
             fmt::format("{}:/usr/sbin:/sbin", path != nullptr ? path : "/usr/bin:/bin").c_str(),
             1);
    entered = *sandbox;
  }
  return sandbox;
}

Sandbox enter_sandbox() {
  auto sandbox = try_enter_sandbox();
  if (!sandbox) {
    fmt::print(stderr, "lab: {}\n", sandbox.error().message);
    std::exit(1);
  }
  return *sandbox;
}

Outcome<Sandbox> probe_sandbox() {
  return make_sandbox(Mode::kProbe);
}

Outcome<Sandbox> current_sandbox() {
  if (entered) return *entered;
  return fail("not in a sandbox: call lab::enter_sandbox() first in main()");
}

}  // namespace vtl::lab
