#include "lab/program/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>

#include "lab/fd.h"
#include "lab/lab.h"
#include "lab/sandbox.h"
#include "lab/virtual_machine.h"
#include "lab/vtl_program.h"

namespace vtl::lab {
namespace {

/// What `question` answers inside a sandbox of its own: a text that starts with '+' (good) or '-'.
std::string ask_inside(const std::function<std::string()>& question) {
  int ends[2];
  if (::pipe(ends) != 0) return "-no pipe";
  Fd read(ends[0]), write(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto sandbox = try_enter_sandbox();
    const std::string answer = sandbox ? question() : "-needs a sandbox";
    (void)!::write(write.get(), answer.data(), answer.size());
    ::_exit(0);
  }
  write.reset();
  std::string text;
  std::array<char, 512> buffer{};
  for (ssize_t n; (n = ::read(read.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::waitpid(child, nullptr, 0);
  return text.empty() ? "-the question ended early" : text;
}

Finding from_answer(std::string name, bool needed, const std::string& answer) {
  return {std::move(name), answer[0] == '+', needed, answer.substr(1)};
}

/// '+' and `good`, or '-' and the error of `outcome`.
template <class T>
std::string answer_of(const Outcome<T>& outcome, const std::string& good) {
  return outcome ? "+" + good : "-" + outcome.error().message;
}

Finding look_at_sandbox() {
  const auto sandbox = probe_sandbox();
  if (!sandbox) return {"sandbox", false, true, sandbox.error().message};
  return {"sandbox", true, true,
          fmt::format(
              "{}{}{}", sandbox->user_namespace ? "in a user namespace" : "with root's rights",
              sandbox->many_users ? " of many users" : "",
              sandbox->pid_namespace ? ""
                                     : "; no PID namespace, so a crash may leave programs behind")};
}

Finding look_for_program(const char* program, const char* package, bool needed) {
  const char* const path = std::getenv("PATH");
  const std::string all = fmt::format("{}:/usr/sbin:/sbin", path != nullptr ? path : "");
  for (std::size_t from = 0; from <= all.size();) {
    const std::size_t to = std::min(all.find(':', from), all.size());
    const auto file = std::filesystem::path(all.substr(from, to - from)) / program;
    if (::access(file.c_str(), X_OK) == 0) return {program, true, needed, file.string()};
    from = to + 1;
  }
  return {program, false, needed, fmt::format("install {}", package)};
}

std::string ask_veth() {
  Lab lab;
  const auto one = lab.add_host("one");
  if (!one) return "-" + one.error().message;
  const auto two = lab.add_host("two");
  if (!two) return "-" + two.error().message;
  return answer_of(lab.connect({**one, "eth0"}, {**two, "eth0"}, {.offloads = Offloads::kOff}),
                   "hosts, veth pairs and offload settings work");
}

/// Asks something of a fresh host.
std::string ask_host(const std::function<std::string(Host&)>& question) {
  Lab lab;
  const auto host = lab.add_host("one");
  return host ? question(**host) : "-" + host.error().message;
}

std::string ask_congestion_control(const std::string& name) {
  return ask_host([&](Host& host) {
    return answer_of(host.set_tcp({.congestion_control = name}),
                     fmt::format("a host can use it; this kernel offers {} now",
                                 fmt::join(host.congestion_controls(), ", ")));
  });
}

}  // namespace

std::vector<Finding> examine_machine() {
  std::vector<Finding> findings;
  findings.push_back(look_at_sandbox());
  findings.push_back(look_for_program("ip", "iproute2", true));
  if (findings.front().good) {
    findings.push_back(from_answer("veth", true, ask_inside(ask_veth)));
    findings.push_back(from_answer("tap", false, ask_inside([] {
                                     return ask_host([](Host& host) {
                                       return answer_of(host.add_tap("tap0"), "taps can be made");
                                     });
                                   })));
    findings.push_back(from_answer("bridge", false, ask_inside([] {
                                     return ask_host([](Host& host) {
                                       return answer_of(host.add_bridge("br0", {}),
                                                        "kernel bridges can be made");
                                     });
                                   })));
    for (const std::string name : {"cubic", "bbr"}) {
      findings.push_back(
          from_answer(name, false, ask_inside([&] { return ask_congestion_control(name); })));
    }
  }
  const auto kernel = find_guest_kernel();
  findings.push_back(from_answer(
      "guest kernel", false, kernel ? "+" + kernel->image.string() : "-" + kernel.error().message));
  constexpr std::array<std::array<const char*, 2>, 8> kPrograms{
      {{"qemu-system-x86_64", "qemu-system-x86"},
       {"busybox", "busybox-static"},
       {"iperf3", "iperf3"},
       {"curl", "curl"},
       {"ping", "iputils-ping"},
       {"nc", "netcat-openbsd"},
       {"tcpdump", "tcpdump"},
       {"tshark", "tshark"}}};
  for (const auto& [program, package] : kPrograms) {
    findings.push_back(look_for_program(program, package, false));
  }
  const auto vtl = vtl_binary();
  const bool built = ::access(vtl.c_str(), X_OK) == 0;
  findings.push_back({"vtl", built, false, built ? vtl.string() : "build it: ./dev build"});
  return findings;
}

}  // namespace vtl::lab
