#include "lab/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <regex>
#include <sstream>

#include "lab/fd.h"
#include "lab/sandbox.h"
#include "lab/wait.h"

extern char** environ;

namespace vtl::lab {
namespace {

constexpr std::size_t kQuotedBytes = 2000;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

/// The end of a text, from the start of a line.
std::string tail(const std::string& text) {
  if (text.size() <= kQuotedBytes) return text;
  const auto line = text.find('\n', text.size() - kQuotedBytes);
  return "..." + text.substr(line == std::string::npos ? text.size() - kQuotedBytes : line);
}

Duration from_timeval(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

/// `folder`/`name`, with a number when it is taken.
std::string free_name(const std::filesystem::path& folder, const std::string& name) {
  std::string candidate = name;
  for (int i = 2; std::filesystem::exists(folder / (candidate + ".out")); ++i) {
    candidate = fmt::format("{}-{}", name, i);
  }
  return candidate;
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!added.contains(std::string(text.substr(0, text.find('='))))) result.emplace_back(text);
  }
  for (const auto& [key, value] : added) result.push_back(key + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (auto& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// The file of a program: itself when it has a slash, else the first in PATH that may be run.
std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + name;
    std::error_code error;
    if (std::filesystem::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0) {
      return file;
    }
  }
  return std::nullopt;
}

/// All that the child needs between fork() and exec(), made before: there it may only make
/// system calls, for other threads' locks are as they were.
struct Launch {
  const char* file;
  char** argv;
  char** environment;
  const char* directory;  ///< or nullptr
  int netns;
  int input, output, errors;  ///< or -1: inherited
  int report;                 ///< where a failure's Failure goes
  bool die_with_parent;
};

struct Failure {
  int error = 0;
  char step = 0;  ///< n: namespace, d: directory, e: exec
};

[[noreturn]] void give_up(const Launch& launch, char step) {
  const Failure failure{errno, step};
  (void)!::write(launch.report, &failure, sizeof failure);
  ::_exit(127);
}

[[noreturn]] void become_program(const Launch& launch) {
  if (launch.netns >= 0) {
    if (::setns(launch.netns, CLONE_NEWNET) != 0) give_up(launch, 'n');
    // /sys shows the devices of the namespace it was mounted in: give the program its own. A
    // program that does not look there runs without, so a refusal is not a failure.
    if (::unshare(CLONE_NEWNS) == 0) {
      (void)::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr);
      (void)::umount2("/sys", MNT_DETACH);
      (void)::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
    }
  }
  if (launch.input >= 0) {
    ::setpgid(0, 0);
    if (::dup2(launch.input, STDIN_FILENO) < 0 || ::dup2(launch.output, STDOUT_FILENO) < 0 ||
        ::dup2(launch.errors, STDERR_FILENO) < 0) {
      give_up(launch, 'd');
    }
  }
  if (launch.die_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (launch.directory != nullptr && ::chdir(launch.directory) != 0) give_up(launch, 'd');
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGPIPE, SIGINT, SIGQUIT}) ::signal(number, SIG_DFL);
#ifdef SYS_close_range
  constexpr unsigned kCloseOnExec = 4;
  ::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec);
#endif
  ::execve(launch.file, launch.argv, launch.environment);
  give_up(launch, 'e');
}

/// Whether a socket of /proc/PID/net/`table` has `port`, in the state a server's has.
bool has_server(pid_t pid, const char* table, std::uint16_t port, bool tcp) {
  std::ifstream file(fmt::format("/proc/{}/net/{}", pid, table));
  std::string line;
  std::getline(file, line);  // the heading
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state;
    fields >> slot >> local >> remote >> state;
    const auto colon = local.rfind(':');
    if (colon == std::string::npos) continue;
    constexpr const char* kListen = "0A";
    if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port &&
        (!tcp || state == kListen)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool has_program(const std::string& name) {
  return find_program(name).has_value();
}

std::string to_string(const Exit& exit) {
  if (exit.signal != 0) {
    return fmt::format("killed by signal {} ({})", exit.signal, ::strsignal(exit.signal));
  }
  return fmt::format("exit status {}", exit.code);
}

struct Process::State {
  std::string name;
  std::string command;
  std::filesystem::path output, errors;
  pid_t pid = -1;
  bool leads_group = false;
  Fd pidfd, input;
  std::optional<Exit> exit;

  /// Reaps the program when it has ended; `block` waits for that without a bound.
  bool reap(bool block) {
    if (exit) return true;
    int status = 0;
    rusage usage{};
    const pid_t ended = ::wait4(pid, &status, block ? 0 : WNOHANG, &usage);
    if (ended == 0) return false;
    Exit result;
    if (ended == pid) {
      result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
      result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      result.cpu = {from_timeval(usage.ru_utime), from_timeval(usage.ru_stime)};
    }
    exit = result;
    return true;
  }

  void kill_group(int number) const {
    if (!leads_group) {
      if (!exit) ::kill(pid, number);
      return;
    }
    ::kill(-pid, number);
  }

  ~State() {
    if (pid <= 0) return;
    // Before the reaping, so that the id cannot be another's by now.
    if (!exit) kill_group(SIGKILL);
    reap(true);
  }
};

Process::Process(std::unique_ptr<State> state) : state_(std::move(state)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() = default;

/// The program's ends of its input, output and errors; none where it has the caller's own.
struct Process::Streams {
  Fd input, output, errors;
};

Outcome<Process::Streams> Process::open_streams(State& state) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC;
  Streams streams{.input = Fd(),
                  .output = Fd(::open(state.output.c_str(), kNew, 0644)),
                  .errors = Fd(::open(state.errors.c_str(), kNew, 0644))};
  int ends[2];
  if (!streams.output || !streams.errors || ::pipe2(ends, O_CLOEXEC) != 0) {
    return fail(fmt::format("cannot keep the output of {} as {}: {}", state.name,
                            state.output.string(), std::strerror(errno)));
  }
  streams.input = Fd(ends[0]);
  state.input = Fd(ends[1]);
  state.leads_group = true;
  return streams;
}

Outcome<void> Process::spawn(const Program& program, State& state, const Streams& streams,
                             int netns) {
  const auto failed = [&](const char* what, int error) {
    return fail(
        fmt::format("cannot start '{}': cannot {}: {}", state.command, what, std::strerror(error)));
  };
  const auto file = find_program(program.argv[0]);
  if (!file) {
    return fail(fmt::format(
        "cannot start '{}': there is no program '{}' in PATH (is its package installed?)",
        state.command, program.argv[0]));
  }
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return failed("make a pipe", errno);
  const Fd report_read(report[0]);
  Fd report_write(report[1]);

  auto argv = program.argv;
  auto environment = merged_environment(program.environment);
  auto argv_pointers = pointers(argv);
  auto environment_pointers = pointers(environment);
  const auto sandbox = current_sandbox();
  const Launch launch{.file = file->c_str(),
                      .argv = argv_pointers.data(),
                      .environment = environment_pointers.data(),
                      .directory = program.directory.empty() ? nullptr : program.directory.c_str(),
                      .netns = netns,
                      .input = streams.input.get(),
                      .output = streams.output.get(),
                      .errors = streams.errors.get(),
                      .report = report_write.get(),
                      .die_with_parent = !sandbox || !sandbox->pid_namespace};
  state.pid = ::fork();
  if (state.pid == 0) become_program(launch);
  if (state.pid < 0) return failed("make a process", errno);
  report_write.reset();
  Failure failure;
  if (::read(report_read.get(), &failure, sizeof failure) == ssize_t{sizeof failure}) {
    return failed(failure.step == 'n'   ? "enter its network namespace"
                  : failure.step == 'd' ? "enter its folder"
                                        : "run it",
                  failure.error);
  }
  state.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0U)));
  return {};
}

Outcome<Process> Process::start(const Program& program, const std::filesystem::path& folder,
                                int netns) {
  if (program.argv.empty()) return fail("a Program needs at least argv[0]");
  // A fresh pipe holds this much without blocking.
  if (program.input.size() > 65536) return fail("Program::input holds at most 64 KiB");
  auto state = std::make_unique<State>();
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // the files in it tell of a failure
  const std::string base = std::filesystem::path(program.argv[0]).filename().string();
  state->name = free_name(folder, program.name.empty() ? base : program.name);
  state->command = fmt::format("{}", fmt::join(program.argv, " "));
  state->output = folder / (state->name + ".out");
  state->errors = folder / (state->name + ".err");
  Streams streams;
  if (program.input_from != Input::kInherit) {
    auto opened = open_streams(*state);
    if (!opened) return std::unexpected(opened.error());
    streams = std::move(*opened);
  }
  if (auto spawned = spawn(program, *state, streams, netns); !spawned) {
    return std::unexpected(spawned.error());
  }
  Process process(std::move(state));
  if (program.input_from != Input::kText) return process;
  if (!program.input.empty()) {
    if (auto written = process.write_input(program.input); !written) {
      return std::unexpected(written.error());
    }
  }
  process.close_input();
  return process;
}

pid_t Process::pid() const noexcept {
  return state_->pid;
}
const std::string& Process::name() const noexcept {
  return state_->name;
}
const std::filesystem::path& Process::output_path() const noexcept {
  return state_->output;
}
const std::filesystem::path& Process::errors_path() const noexcept {
  return state_->errors;
}
std::string Process::output() const {
  return read_file(state_->output);
}
std::string Process::errors() const {
  return read_file(state_->errors);
}

bool Process::running() {
  return !state_->reap(false);
}

std::unexpected<Error> Process::failure(const std::string& what) const {
  std::string message = fmt::format("'{}' {}", state_->command, what);
  const std::string out = tail(output());
  const std::string err = tail(errors());
  if (!err.empty()) message += fmt::format("; its last errors:\n{}", err);
  if (!out.empty()) message += fmt::format("{}its last output:\n{}", err.empty() ? "; " : "", out);
  if (err.empty() && out.empty()) message += "; it has written nothing";
  return fail(std::move(message));
}

Outcome<Exit> Process::wait(Duration bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  while (!state_->reap(false)) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return failure(fmt::format("has not ended within {:.1f} s",
                                 std::chrono::duration<double>(bound).count()));
    }
    pollfd poll{state_->pidfd.get(), POLLIN, 0};
    ::poll(&poll, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  }
  return *state_->exit;
}

Exit Process::wait_for_end() {
  state_->reap(true);
  return *state_->exit;
}

Outcome<Exit> Process::wait_ok(Duration bound) {
  auto exit = wait(bound);
  if (exit && !exit->ok()) return failure(fmt::format("failed: {}", to_string(*exit)));
  return exit;
}

Outcome<std::string> Process::wait_for_line(const std::string& regex, Duration bound) {
  const std::regex pattern(regex);
  std::optional<std::string> found;
  bool ended = false;
  const auto look = [&] {
    // Asked before the files are read: what it wrote before its end is then all there.
    ended = !running();
    for (const auto& path : {state_->output, state_->errors}) {
      std::ifstream file(path);
      for (std::string line; !found && std::getline(file, line);) {
        if (std::regex_search(line, pattern)) found = line;
      }
    }
    return found || ended;
  };
  const bool in_time = wait_until(look, bound);
  if (found) return *found;
  if (in_time) {
    return failure(fmt::format("ended ({}) without a line that matches '{}'",
                               to_string(*state_->exit), regex));
  }
  return failure(fmt::format("has not written a line that matches '{}' within {:.1f} s", regex,
                             std::chrono::duration<double>(bound).count()));
}

Outcome<void> Process::wait_for_port(Protocol protocol, std::uint16_t port, Duration bound) {
  const bool tcp = protocol == Protocol::kTcp;
  bool found = false;
  const bool in_time = wait_until(
      [&] {
        found = has_server(pid(), tcp ? "tcp" : "udp", port, tcp) ||
                has_server(pid(), tcp ? "tcp6" : "udp6", port, tcp);
        return found || !running();
      },
      bound);
  if (found) return {};
  const char* const name = tcp ? "TCP" : "UDP";
  if (in_time) {
    return failure(fmt::format("ended ({}) without listening on {} port {}",
                               to_string(*state_->exit), name, port));
  }
  return failure(fmt::format("does not listen on {} port {} after {:.1f} s", name, port,
                             std::chrono::duration<double>(bound).count()));
}

void Process::signal(int number) {
  if (running()) ::kill(state_->pid, number);
}

Outcome<Exit> Process::stop(Duration bound) {
  signal(SIGTERM);
  if (auto exit = wait(bound)) return exit;
  state_->kill_group(SIGKILL);
  return wait(bound);
}

CpuTime Process::cpu() {
  if (!running()) return state_->exit->cpu;
  std::ifstream file(fmt::format("/proc/{}/stat", pid()));
  std::string text;
  std::getline(file, text);
  // The second field, the name in parentheses, may hold anything.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  std::int64_t user = 0, system = 0, children_user = 0, children_system = 0;
  fields >> user >> system >> children_user >> children_system;
  const auto from_ticks = [](std::int64_t ticks) {
    return Duration(ticks * (1'000'000'000 / ::sysconf(_SC_CLK_TCK)));
  };
  return {from_ticks(user + children_user), from_ticks(system + children_system)};
}

Outcome<void> Process::write_input(std::string_view text) {
  if (!state_->input) return fail(fmt::format("'{}' has no open input", state_->command));
  // A program that has closed its input must not end this one.
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  std::size_t done = 0;
  int error = 0;
  while (done < text.size() && error == 0) {
    const ssize_t n = ::write(state_->input.get(), text.data() + done, text.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n < 0 && errno != EINTR) error = errno;
  }
  ::signal(SIGPIPE, before);
  if (error != 0) return failure(fmt::format("does not take input: {}", std::strerror(error)));
  return {};
}

void Process::close_input() {
  state_->input.reset();
}

}  // namespace vtl::lab
