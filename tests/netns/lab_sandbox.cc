// What the lab promises: nothing outlives it, output is kept, and it works without root.

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include "lab/capture.h"
#include "lab/lab.h"
#include "lab/must.h"
#include "lab/sandbox.h"
#include "lab/topology.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "tests/netns/streams.h"

namespace vtl::lab {
namespace {

using testing::HasSubstr;

/// Runs `body` in a child process and answers its wait status.
int status_of_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

std::string read_all(const Fd& fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

struct Pipe {
  Fd read, write;
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
};

TEST(LabSandbox, ProgramEndsAsItsWorkerDoes) {
  const int exited = status_of_child([] {
    enter_sandbox();
    return 42;
  });
  ASSERT_TRUE(WIFEXITED(exited));
  EXPECT_EQ(WEXITSTATUS(exited), 42);

  const int killed = status_of_child([] {
    enter_sandbox();
    ::signal(SIGUSR1, SIG_DFL);
    ::raise(SIGUSR1);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(killed));
  EXPECT_EQ(WTERMSIG(killed), SIGUSR1);
}

TEST(LabSandbox, SignalsReachTheWorker) {
  Pipe ready;
  const pid_t child = ::fork();
  if (child == 0) {
    enter_sandbox();
    ::signal(SIGTERM, [](int) { ::_exit(9); });
    (void)!::write(ready.write.get(), "r", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

bool write_text(const char* path, const char* text) {
  std::ofstream file(path);
  file << text;
  return !!file.flush();
}

/// Gives the rights over this test's own mounts up: as another user, or, when the test runs
/// without root already, in a user namespace inside its own.
bool give_up_rights() {
  constexpr uid_t kNobody = 65534;
  if (must(current_sandbox()).user_namespace) {
    return ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", "0 0 1") && write_text("/proc/self/gid_map", "0 0 1");
  }
  // A process that has changed its user hides its /proc files from that user, unlike one that a
  // user has started.
  return ::setgroups(0, nullptr) == 0 && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0 &&
         ::prctl(PR_SET_DUMPABLE, 1) == 0;
}

/// Whether this machine lets a user without rights make namespaces, as its settings say.
bool user_namespaces_allowed() {
  const auto setting = [](const char* name, long otherwise) {
    std::ifstream file(std::string("/proc/sys/") + name);
    long value = 0;
    return file >> value ? value : otherwise;
  };
  return setting("user/max_user_namespaces", 0) > 0 &&
         setting("kernel/unprivileged_userns_clone", 1) == 1 &&
         setting("kernel/apparmor_restrict_unprivileged_userns", 0) == 0;
}

/// A lab that a signal ends in the middle: its topology, a program that has left its process group
/// and a persistent tap are all gone. The programs hold the pipe's end open as long as they live.
void expect_nothing_left_after(
    int signal_number, bool to_worker, const std::function<bool()>& prepare = [] { return true; }) {
  struct Started {
    pid_t worker = 0;
    bool pid_namespace = false;
  };
  Pipe alive;
  Pipe ready;
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    if (!prepare()) ::_exit(1);
    const Sandbox sandbox = enter_sandbox();
    const auto topology = must(Topology::create({.folder = "/run/crash"}));
    must(topology.client().add_tap("tap0"));
    // Started with fork() here, for a Process closes what it is not given.
    if (::fork() == 0) {
      const InHost inside = topology.server().enter();
      ::setsid();
      for (;;) ::pause();
    }
    const Started started{::getpid(), sandbox.pid_namespace};
    (void)!::write(ready.write.get(), &started, sizeof started);
    // As a program without a sanitizer's handler, and without a core file, ends.
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    if (signal_number != SIGKILL) ::signal(signal_number, SIG_DFL);
    if (to_worker) ::kill(started.worker, signal_number);
    for (;;) ::pause();
  }
  alive.write.reset();
  ready.write.reset();
  Started started;
  ASSERT_EQ(::read(ready.read.get(), &started, sizeof started), ssize_t{sizeof started});
  if (!to_worker) ::kill(supervisor, signal_number);
  EXPECT_EQ(read_all(alive.read), "");  // ends only when every process inside is gone
  int status = 0;
  ::waitpid(supervisor, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), signal_number);
  EXPECT_EQ(started.pid_namespace, !std::filesystem::exists("/run/no-proc"));
}

TEST(LabSandbox, KilledSupervisor_LeavesNothing) {
  expect_nothing_left_after(SIGKILL, false);
}
TEST(LabSandbox, KilledWorker_LeavesNothing) {
  expect_nothing_left_after(SIGKILL, true);
}
TEST(LabSandbox, CrashedWorker_LeavesNothing) {
  expect_nothing_left_after(SIGSEGV, true);
}

/// As in a container that hides parts of /proc: a user namespace may not mount one of its own.
bool hide_part_of_proc() {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", "/proc/sys/fs", "tmpfs", 0, nullptr) == 0 && give_up_rights();
}

TEST(LabSandbox, WithoutAPidNamespace_NothingIsLeftEither) {
  if (!user_namespaces_allowed()) return;  // then there is no such sandbox: see the last of these
  std::ofstream("/run/no-proc") << "";
  expect_nothing_left_after(SIGKILL, false, hide_part_of_proc);
  expect_nothing_left_after(SIGKILL, true, hide_part_of_proc);
  std::filesystem::remove("/run/no-proc");
}

TEST(LabSandbox, NamesAreTheSandboxsOwn) {
  Lab lab;
  must(lab.add_host("client"));
  // A second lab beside it has the same names, and neither sees the other's.
  const int status = status_of_child([] {
    enter_sandbox();
    if (std::filesystem::exists("/run/netns/client")) return 1;
    Lab other("/run/other");
    return other.add_host("client") ? 0 : 2;
  });
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(std::filesystem::exists("/run/netns/client"));
}

/// As a user without rights, a lab is made in which programs run as root; where the machine
/// forbids that, the message says what to allow.
TEST(LabSandbox, WithoutRootItWorksOrSaysWhatToAllow) {
  Pipe answer;
  status_of_child([&] {
    if (!give_up_rights()) return 1;
    const bool nested = must(current_sandbox()).user_namespace;
    const auto sandbox = try_enter_sandbox();
    std::string text = sandbox ? "made" : sandbox.error().message;
    if (sandbox) {
      if ((!nested && !sandbox->user_namespace) || ::geteuid() != 0) text = "not root inside";
      const auto topology = Topology::create({.folder = "/run/rootless"});
      if (!topology) text = topology.error().message;
    }
    (void)!::write(answer.write.get(), text.data(), text.size());
    return 0;
  });
  answer.write.reset();
  const std::string text = read_all(answer.read);
  if (user_namespaces_allowed()) {
    EXPECT_EQ(text, "made");
  } else {
    EXPECT_THAT(text, HasSubstr("run it as root, or set sysctl"));
  }
}

TEST(LabProcess, OutputIsKeptAndErrorsQuoteIt) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  Process process =
      must(host.start({.argv = {"sh", "-c", "echo to-out; echo to-err >&2; exit 3"}}));
  const auto exit = process.wait_ok(5s);
  ASSERT_FALSE(exit);
  EXPECT_THAT(exit.error().message, HasSubstr("exit status 3"));
  EXPECT_THAT(exit.error().message, HasSubstr("to-out"));
  EXPECT_THAT(exit.error().message, HasSubstr("to-err"));
  EXPECT_EQ(process.output(), "to-out\n");
  EXPECT_EQ(process.errors(), "to-err\n");
  EXPECT_EQ(process.output_path(), lab.folder() / "one-sh.out");
}

TEST(LabProcess, MissingProgram_SaysWhichOne) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto process = host.start({.argv = {"no-such-program", "-x"}});
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().message, HasSubstr("'no-such-program -x'"));
  EXPECT_THAT(process.error().message, HasSubstr("no program 'no-such-program' in PATH"));
  const auto folder = host.start({.argv = {"/etc"}});
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("Permission denied"));
}

TEST(LabProcess, InputReachesTheProgram) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  EXPECT_EQ(must(host.run({.argv = {"cat"}, .input = "as text"})).output(), "as text");
  Process cat = must(host.start({.argv = {"cat"}, .input_from = Input::kPipe}));
  must(cat.write_input("as a line\n"));
  EXPECT_EQ(must(cat.wait_for_line("line", 5s)), "as a line");
  EXPECT_TRUE(cat.running());
  cat.close_input();
  EXPECT_TRUE(must(cat.wait(5s)).ok());
}

TEST(LabProcess, WaitsHaveABoundAndEndWithTheProgram) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  Process sleeper = must(host.start({.argv = {"sleep", "1000"}}));
  EXPECT_FALSE(sleeper.wait(20ms));
  EXPECT_FALSE(sleeper.wait_for_line("never", 20ms));
  EXPECT_FALSE(sleeper.wait_for_port(Protocol::kTcp, 80, 20ms));
  EXPECT_EQ(must(sleeper.stop()).signal, SIGTERM);
  const auto line = must(host.start({.argv = {"true"}})).wait_for_line("never", 1000s);
  ASSERT_FALSE(line);
  EXPECT_THAT(line.error().message, HasSubstr("ended (exit status 0)"));
}

TEST(LabProcess, DroppedProcess_TakesItsGroupWithIt) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto marker = lab.folder() / "alive";
  ASSERT_EQ(::mkfifo(marker.c_str(), 0600), 0);
  const Fd reader(::open(marker.c_str(), O_RDONLY | O_NONBLOCK));
  {
    Process shell = must(host.start(
        {.argv = {"sh", "-c",
                  fmt::format("exec 9>{}; sleep 1000 & echo up; wait", marker.string())}}));
    must(shell.wait_for_line("up", 5s));
  }
  ::fcntl(reader.get(), F_SETFL, 0);
  EXPECT_EQ(read_all(reader), "");  // every writer is gone
}

TEST(LabProcess, CpuTimeIsTold) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  Process spinner = must(host.start({.argv = {"sh", "-c", "while :; do :; done"}}));
  EXPECT_TRUE(wait_until([&] { return spinner.cpu().total() >= 50ms; }, 20s));
  spinner.signal(SIGKILL);
  EXPECT_GE(must(spinner.wait(5s)).cpu.total(), 50ms);
}

TEST(LabProcess, PortsOfTheOwnHostAreSeen) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  Host& two = *must(lab.add_host("two"));
  Process udp = must(one.start({.argv = {"nc", "-u", "-l", "7000"}}));
  Process tcp = must(two.start({.argv = {"nc", "-6", "-l", "7001"}}));
  must(udp.wait_for_port(Protocol::kUdp, 7000, 5s));
  must(tcp.wait_for_port(Protocol::kTcp, 7001, 5s));
  EXPECT_FALSE(udp.wait_for_port(Protocol::kTcp, 7001, 10ms));
}

TEST(LabHost, SysctlOfTheWholeMachine_SaysSo) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto done = host.set_sysctl("net.core.rmem_max", "1000000");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("host one: cannot set sysctl net.core.rmem_max"));
  const auto unknown = host.set_sysctl("net.ipv4.no_such_thing", "1");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("this kernel has no such setting"));
}

TEST(LabHost, WrongIpCommand_IsNamed) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto done = host.ip("link set dev lo up\naddr add 10.0.0.1/24 dev nowhere\n");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("host one: ip addr add 10.0.0.1/24 dev nowhere"));
}

TEST(LabHost, UnknownCongestionControl_ListsWhatThereIs) {
  Lab lab;
  const auto host = lab.add_host("one", {.tcp = {.congestion_control = "nonesuch"}});
  ASSERT_FALSE(host);
  EXPECT_THAT(host.error().message, HasSubstr("no congestion control 'nonesuch' now, only"));
}

std::string congestion_control_of(int socket) {
  std::array<char, 16> in_use{};
  socklen_t size = in_use.size();
  EXPECT_EQ(::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, in_use.data(), &size), 0);
  return in_use.data();
}

// Also where the machine lets one of them be chosen by route only: the later choice holds.
TEST(LabHost, ACongestionControlChosenLaterHoldsForNewConnections) {
  Lab lab;
  Host& left = *must(lab.add_host("left"));
  Host& right = *must(lab.add_host("right"));
  must(lab.connect({left, "eth0"}, {right, "eth0"}));
  must(left.ip("addr add 10.0.0.1/24 dev eth0"));
  must(right.ip("addr add 10.0.0.2/24 dev eth0"));
  std::uint16_t port = 5000;
  for (const std::string wanted : {"cubic", "reno", "cubic", "reno"}) {
    must(left.set_tcp({.congestion_control = wanted}));
    const auto [client, server] = test::connected(left, "10.0.0.1", right, "10.0.0.2", ++port);
    EXPECT_EQ(congestion_control_of(client.get()), wanted);
  }
}

// Programs of one host among themselves, too: a proxy and who asks it.
TEST(LabHost, TheCongestionControlHoldsOverTheLoopback) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  std::uint16_t port = 5000;
  for (const std::string wanted : {"cubic", "reno"}) {
    must(host.set_tcp({.congestion_control = wanted}));
    for (const std::string address : {"127.0.0.1", "127.1.2.3", "::1"}) {
      const auto [client, server] = test::connected(host, address, host, address, ++port);
      for (const auto* end : {&client, &server})
        EXPECT_EQ(congestion_control_of(end->get()), wanted) << address;
    }
  }
}

TEST(LabHost, RaisedTcpIsRaised) {
  Lab lab;
  Host& host = *must(lab.add_host("one", {.tcp = TcpSettings::raised(64'000'000)}));
  EXPECT_EQ(must(host.sysctl("net.ipv4.tcp_rmem")), "4096\t131072\t64000000");
  EXPECT_EQ(must(host.sysctl("net/ipv4/tcp_wmem")), "4096\t16384\t64000000");
}

TEST(LabHost, DevicesAreDeterministicAndFeaturesReal) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  Host& two = *must(lab.add_host("two"));
  must(lab.connect({one, "eth0"}, {two, "eth0"}, {.mtu = 9000}));
  EXPECT_EQ(must(one.mac("eth0")), wire::MacAddress::parse("02:00:00:00:00:01"));
  EXPECT_EQ(must(two.mac("eth0")), wire::MacAddress::parse("02:00:00:00:00:02"));
  EXPECT_THAT(one.devices(), testing::UnorderedElementsAre("lo", "eth0"));
  EXPECT_TRUE(must(one.features("eth0")).at("tx-tcp-segmentation"));
  must(one.set_features("eth0", {{"tx-tcp-segmentation", false}}));
  EXPECT_THAT(must(one.output_of({"ethtool", "-k", "eth0"})),
              HasSubstr("tx-tcp-segmentation: off"));
  EXPECT_FALSE(one.set_features("eth0", {{"no-such-feature", false}}));
  must(one.set_offloads("eth0", Offloads::kOff));
  EXPECT_THAT(must(one.output_of({"ethtool", "-k", "eth0"})),
              testing::AllOf(HasSubstr("rx-checksumming: off"), HasSubstr("tx-checksumming: off"),
                             HasSubstr("generic-segmentation-offload: off")));
}

TEST(LabHost, VlanDevicesTalkOrTheKernelHasNone) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  Host& two = *must(lab.add_host("two"));
  must(lab.connect({one, "eth0"}, {two, "eth0"}));
  if (const auto made = one.add_vlan("eth0", 7); !made) {
    EXPECT_THAT(made.error().message, HasSubstr("modprobe 8021q"));
    return;
  }
  must(two.add_vlan("eth0", 7));
  must(one.ip("addr add 10.7.0.1/24 dev eth0.7"));
  must(two.ip("addr add 10.7.0.2/24 dev eth0.7"));
  EXPECT_TRUE(one.run({.argv = {"ping", "-c", "1", "-W", "2", "10.7.0.2"}}));
}

/// Stands for `vtl`: `vtl run FILE` runs the file.
VtlOptions standing_in(const Lab& lab) {
  const auto path = lab.folder() / "stand-in";
  std::ofstream(path) << "#!/bin/sh\nshift; . \"$1\"\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return {.binary = path};
}

TEST(LabVtl, IsReadyWhenItSaysSoAndStopsGracefully) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  Process vtl = must(start_vtl(
      host, "trap 'echo bye; exit 0' TERM; echo running: 1 link; while :; do sleep 0.01; done",
      standing_in(lab)));
  EXPECT_TRUE(must(vtl.stop()).ok());
  EXPECT_THAT(vtl.output(), HasSubstr("bye"));
}

TEST(LabVtl, RefusedConfiguration_IsQuoted) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto vtl = start_vtl(host, "echo one-vtl.yaml:1:1: wrong >&2; exit 2", standing_in(lab));
  ASSERT_FALSE(vtl);
  EXPECT_THAT(vtl.error().message, HasSubstr("ended (exit status 2)"));
  EXPECT_THAT(vtl.error().message, HasSubstr("one-vtl.yaml:1:1: wrong"));
}

TEST(LabVtl, MissingBinary_SaysHowToGetIt) {
  Lab lab;
  Host& host = *must(lab.add_host("one"));
  const auto vtl = start_vtl(host, "", {.binary = "/nowhere/vtl"});
  ASSERT_FALSE(vtl);
  EXPECT_THAT(vtl.error().message, HasSubstr("there is no /nowhere/vtl: build"));
}

TEST(LabCapture, EveryFrameIsInTheFile) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  Host& two = *must(lab.add_host("two"));
  must(lab.connect({one, "eth0"}, {two, "eth0"}));
  must(one.ip("addr add 10.0.0.1/24 dev eth0"));
  must(two.ip("addr add 10.0.0.2/24 dev eth0"));
  Capture capture = must(Capture::start(two, "eth0", {.filter = "icmp"}));
  must(one.run({.argv = {"ping", "-c", "5", "-i", "0.01", "-W", "2", "10.0.0.2"}}));
  const CaptureResult result = capture.stop();
  EXPECT_EQ(result.frames, 10u);
  EXPECT_EQ(result.dropped, 0u);
  EXPECT_THAT(must(two.output_of({"tshark", "-n", "-r", result.file.string()})),
              HasSubstr("Echo (ping) request"));
}

TEST(LabCapture, OneDirectionFromTheFirstFrameOn) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  Host& two = *must(lab.add_host("two"));
  must(lab.connect({one, "eth0"}, {two, "eth0"}));
  must(one.ip("addr add 10.0.0.1/24 dev eth0"));
  must(two.ip("addr add 10.0.0.2/24 dev eth0"));
  for (const auto direction : {CaptureDirection::kIn, CaptureDirection::kOut}) {
    Capture capture = must(Capture::start(two, "eth0", {.filter = "icmp", .direction = direction}));
    must(one.run({.argv = {"ping", "-c", "3", "-i", "0.01", "-W", "2", "10.0.0.2"}}));
    const CaptureResult result = capture.stop();
    EXPECT_EQ(result.frames, 3u);
    EXPECT_THAT(must(two.output_of({"tshark", "-n", "-r", result.file.string()})),
                HasSubstr(direction == CaptureDirection::kIn ? "request" : "reply"));
  }
}

TEST(LabCapture, BadFilterAndMissingDevice_AreTold) {
  Lab lab;
  Host& one = *must(lab.add_host("one"));
  const auto filter = Capture::start(one, "lo", {.filter = "tcp prt 80"});
  ASSERT_FALSE(filter);
  EXPECT_THAT(filter.error().message, HasSubstr("filter 'tcp prt 80'"));
  const auto device = Capture::start(one, "nowhere");
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("cannot capture on nowhere"));
}

}  // namespace
}  // namespace vtl::lab
