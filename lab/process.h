// Process: a real program that runs in the lab, with its output kept.
//
// Standard output and error go to two files in the run's folder, so they outlive the program and
// never block it. The program leads a process group of its own, which is killed, by its id, when
// the Process object ends before the program does; what a program leaves behind at its own end
// lives on until the sandbox ends. All waits have a bound, and every error quotes the program's
// last output.
//
// Thread rule: one thread per Process object. In a sandbox without a PID namespace the program ends
// with the thread that started it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/result.h"
#include "vtl/base/time.h"

namespace vtl::lab {

enum class Input : std::uint8_t {
  kText,     ///< Program::input, then end of file
  kPipe,     ///< open until close_input(); written with write_input()
  kInherit,  ///< the caller's own terminal for input, output and errors; nothing is kept
};

/// What to start. Only argv is necessary.
struct Program {
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH
  std::string name{};             ///< of its output files; empty: the base name of argv[0]
  std::map<std::string, std::string> environment{};  ///< added to the caller's own
  std::string input{};                               ///< at most 64 KiB
  Input input_from = Input::kText;
  std::filesystem::path directory{};  ///< to run in; empty: the caller's own
};

struct CpuTime {
  Duration user{};
  Duration system{};
  [[nodiscard]] Duration total() const { return user + system; }
};

/// Whether the shell would find a program of this name.
[[nodiscard]] bool has_program(const std::string& name);

/// How a program ended.
struct Exit {
  int code = 0;    ///< exit status; 0 when a signal ended it
  int signal = 0;  ///< the signal that ended it, or 0
  CpuTime cpu;     ///< of it and of the children it has waited for
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
};
/// "exit status 3" or "killed by signal 9 (Killed)".
[[nodiscard]] std::string to_string(const Exit& exit);

enum class Protocol : std::uint8_t { kTcp, kUdp };

class Process {
 public:
  /// Starts `program`; its output goes to `folder`/NAME.out and NAME.err. With `netns` (a network
  /// namespace's descriptor, or -1) it runs in there, and sees that namespace in /sys too.
  [[nodiscard]] static Outcome<Process> start(const Program& program,
                                              const std::filesystem::path& folder, int netns = -1);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  [[nodiscard]] pid_t pid() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::filesystem::path& output_path() const noexcept;
  [[nodiscard]] const std::filesystem::path& errors_path() const noexcept;
  /// All of standard output so far.
  [[nodiscard]] std::string output() const;
  /// All of standard error so far.
  [[nodiscard]] std::string errors() const;

  /// False once it has ended.
  [[nodiscard]] bool running();
  /// Waits for its end.
  [[nodiscard]] Outcome<Exit> wait(Duration bound);
  /// Waits for its end without a bound: for a program that a person ends.
  Exit wait_for_end();
  /// Waits for its end and takes anything but exit status 0 as a failure.
  [[nodiscard]] Outcome<Exit> wait_ok(Duration bound);
  /// Waits for a line of output or errors that contains a match of `regex` (ECMAScript) and
  /// answers the line. Fails when the program ends without one.
  [[nodiscard]] Outcome<std::string> wait_for_line(const std::string& regex, Duration bound);
  /// Waits until someone in the program's network namespace listens on (TCP) or has bound (UDP)
  /// `port`, on any address. Fails when the program ends before.
  [[nodiscard]] Outcome<void> wait_for_port(Protocol protocol, std::uint16_t port, Duration bound);

  /// Sends a signal to the program alone. Nothing happens when it has ended.
  void signal(int number);
  /// SIGTERM, and SIGKILL to the group when it has not ended within `bound`.
  Outcome<Exit> stop(Duration bound = 5s);
  /// Used so far; exact to 10 ms for the children it has waited for.
  [[nodiscard]] CpuTime cpu();

  /// Input::kPipe only.
  [[nodiscard]] Outcome<void> write_input(std::string_view text);
  void close_input();

 private:
  struct State;
  struct Streams;
  explicit Process(std::unique_ptr<State> state);
  [[nodiscard]] static Outcome<Streams> open_streams(State& state);
  [[nodiscard]] static Outcome<void> spawn(const Program& program, State& state,
                                           const Streams& streams, int netns);
  [[nodiscard]] std::unexpected<Error> failure(const std::string& what) const;
  std::unique_ptr<State> state_;
};

}  // namespace vtl::lab
