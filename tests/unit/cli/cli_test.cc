// The vtl program as a person or a script meets it: exit codes, messages, listings, signals. It
// runs on capture files as interfaces, so nothing of the host's network is touched.
//
// covers: vtl run, vtl check, vtl bridge, vtl status, vtl flows, vtl stats, vtl dump, vtl stop

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vtl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kVtl = VTL_BINARY_DIR "/bin/vtl";
constexpr int kPatience = 30'000;  // ms: how long a state may take on a busy machine

// A child process whose standard output and error come through one pipe.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
    out_ = ends[0];
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      std::vector<char*> argv;
      for (auto& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(kVtl.c_str(), argv.data());
      _exit(127);
    }
    close(ends[1]);
  }
  ~Child() {
    if (pid_ > 0 && !ended_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Reads until `text` was said, or the end of output; whether it was.
  bool wait_for(const std::string& text) {
    while (said_.find(text) == std::string::npos) {
      if (!read_some()) return false;
    }
    return true;
  }
  void signal(int number) const { kill(pid_, number); }
  // Reads to the end and returns the exit code; 128 + N for signal N.
  int finish() {
    while (read_some()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] const std::string& said() const { return said_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  bool read_some() {
    pollfd wait{out_, POLLIN, 0};
    if (poll(&wait, 1, kPatience) <= 0) return false;
    std::array<char, 4096> chunk;
    const auto n = read(out_, chunk.data(), chunk.size());
    if (n <= 0) return false;
    said_.append(chunk.data(), static_cast<std::size_t>(n));
    return true;
  }

  int out_ = -1;
  pid_t pid_ = -1;
  bool ended_ = false;
  std::string said_;
};

struct Ran {
  int code;
  std::string said;
};

Ran vtl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "vtl");
  Child child(std::move(arguments));
  const int code = child.finish();
  return {code, child.said()};
}

class Cli : public testing::Test {
 protected:
  Cli() {
    std::string pattern = testing::TempDir() + "vtl-cli-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    socket_ = folder_ + "/vtl.sock";
  }
  ~Cli() override { std::filesystem::remove_all(folder_); }

  // A configuration that runs anywhere: two capture files to write.
  std::string write_config(const std::string& more = "") const {
    const auto path = folder_ + "/f.yaml";
    std::ofstream(path) << "interfaces:\n"
                        << "  guest: { type: pcap_file, write: guest.pcapng }\n"
                        << "  uplink: { type: pcap_file, write: uplink.pcapng }\n"
                        << "links: [{ name: vm1, guest: guest, network: uplink, services: [bridge] "
                           "}]\n"
                        << "control: { socket: " << socket_ << " }\n"
                        << more;
    chmod(path.c_str(), S_IRUSR | S_IWUSR);  // it may hold a key
    return path;
  }
  [[nodiscard]] Ran ask(const std::string& command, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {command, "--socket", socket_});
    return vtl(std::move(more));
  }

  std::string folder_;
  std::string socket_;
};

TEST_F(Cli, VersionAndHelpAreSuccess) {
  const auto version = vtl({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.said.substr(0, 4), "vtl ");
  const auto help = vtl({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"run", "check", "bridge", "status", "flows", "stats", "dump", "stop"}) {
    EXPECT_THAT(help.said, HasSubstr(command));
  }
}

TEST_F(Cli, AWrongCommandLineIsUsage) {
  EXPECT_EQ(vtl({}).code, 2);
  EXPECT_EQ(vtl({"fly"}).code, 2);
  EXPECT_EQ(vtl({"run"}).code, 2);
  EXPECT_EQ(vtl({"bridge", "a", "b", "--workers", "0"}).code, 2);
  EXPECT_EQ(vtl({"bridge", "a", "a"}).code, 2);
}

TEST_F(Cli, CheckSaysGoodOrEveryMistakeAndStartsNothing) {
  const auto path = write_config();
  const auto good = vtl({"check", path});
  EXPECT_EQ(good.code, 0);
  EXPECT_EQ(good.said, path + ": good: 1 link, 2 interfaces, 0 peers, 1 worker\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/guest.pcapng"));

  const auto bad = vtl({"check", write_config("wokers: 2\nseed: x\n")});
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.said, HasSubstr(path + ":6:1: unknown key 'wokers'"));
  EXPECT_THAT(bad.said, HasSubstr(path + ":7:7: 'seed'"));
}

TEST_F(Cli, RunRefusesWhatCheckRefuses) {
  const auto bad = vtl({"run", write_config("wokers: 2\n")});
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.said, HasSubstr("f.yaml:6:1: unknown key 'wokers'"));
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(Cli, RunAnswersAndStopsInOrder) {
  Child run({"vtl", "run", write_config()});
  ASSERT_TRUE(run.wait_for("running")) << run.said();

  const auto status = ask("status", {"--json"});
  ASSERT_EQ(status.code, 0) << status.said;
  const auto listing = json::parse(status.said);
  EXPECT_EQ(listing["links"][0]["name"], "vm1");
  EXPECT_EQ(listing["links"][0]["services"], json::array({"bridge"}));
  const auto table = ask("status");
  EXPECT_THAT(table.said, HasSubstr("INTERFACE  DEVICE"));
  EXPECT_EQ(table.said.find('\033'), std::string::npos) << "colours belong on a terminal only";

  EXPECT_EQ(json::parse(ask("flows", {"--json"}).said)["total"], 0);
  EXPECT_THAT(ask("flows").said, HasSubstr("0 flows"));
  EXPECT_THAT(ask("stats").said, HasSubstr("no frame was dropped"));
  EXPECT_EQ(json::parse(ask("stats", {"--json"}).said)["interfaces"].size(), 2U);

  const auto stop = ask("stop");
  EXPECT_EQ(stop.code, 0) << stop.said;
  EXPECT_EQ(run.finish(), 0) << run.said();
  EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(Cli, EitherSignalEndsItWithSuccess) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Child run({"vtl", "run", write_config()});
    ASSERT_TRUE(run.wait_for("running")) << run.said();
    run.signal(signal);
    EXPECT_EQ(run.finish(), 0) << run.said();
    EXPECT_THAT(run.said(), HasSubstr("stopped"));
  }
}

TEST_F(Cli, ADumpIsPcapngAndEndsWithTheProgram) {
  Child run({"vtl", "run", write_config()});
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  const auto file = folder_ + "/dump.pcapng";
  Child dump({"vtl", "dump", "vm1", "--at", "1", "-w", file, "--socket", socket_});
  // The section header is written as soon as the dump has begun.
  const auto has_begun = [&] {
    std::error_code error;
    return std::filesystem::file_size(file, error) > 0 && !error;
  };
  while (!has_begun()) ASSERT_EQ(ask("status").code, 0);
  run.signal(SIGTERM);
  EXPECT_EQ(run.finish(), 0);
  EXPECT_EQ(dump.finish(), 0) << dump.said();
  std::array<char, 4> magic{};
  std::ifstream(file, std::ios::binary).read(magic.data(), magic.size());
  EXPECT_EQ(std::string(magic.data(), magic.size()), "\x0a\x0d\x0d\x0a");

  const auto late = vtl({"dump", "vm1", "--socket", socket_});
  EXPECT_EQ(late.code, 1);
}

TEST_F(Cli, ASignalEndsADumpWithItsCounts) {
  Child run({"vtl", "run", write_config()});
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  for (const int signal : {SIGINT, SIGTERM}) {
    Child dump({"vtl", "dump", "vm1", "--socket", socket_});
    ASSERT_TRUE(dump.wait_for("vm1:0")) << "the name of the interface in the stream";
    dump.signal(signal);
    EXPECT_EQ(dump.finish(), 0);
    EXPECT_THAT(dump.said(), HasSubstr("0 frames captured\n0 frames dropped\n"));
  }
  EXPECT_EQ(ask("status").code, 0);
}

TEST_F(Cli, ADumpOfWhatIsNotThereSaysWhatThereIs) {
  Child run({"vtl", "run", write_config()});
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  EXPECT_THAT(vtl({"dump", "vm2", "--socket", socket_}).said,
              HasSubstr("no link 'vm2'; there are: vm1"));
  EXPECT_THAT(vtl({"dump", "vm1", "--at", "2", "--socket", socket_}).said,
              HasSubstr("a boundary is 0 (the guest) to 1 (the network), not 2"));
  EXPECT_THAT(vtl({"dump", "vm1", "--filter", "nonsense here", "--socket", socket_}).said,
              HasSubstr("filter 'nonsense here': "));
}

TEST_F(Cli, ASecondRunOnTheSameSocketIsRefusedInOneLine) {
  Child run({"vtl", "run", write_config()});
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  const auto second = vtl({"run", folder_ + "/f.yaml"});
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.said, HasSubstr("another vtl is running with it"));
  EXPECT_EQ(ask("status").code, 0);
}

TEST_F(Cli, AMissingDeviceIsOneLineAndNothingRuns) {
  const auto bridge = vtl({"bridge", "vtl-none0", "vtl-none1"});
  EXPECT_EQ(bridge.code, 1);
  EXPECT_THAT(bridge.said, HasSubstr("vtl-none0"));
  EXPECT_EQ(bridge.said.find("running"), std::string::npos);
}

TEST_F(Cli, WithoutARunningVtlAQuestionIsAFailureThatSaysWhatToDo) {
  const auto status = ask("status");
  EXPECT_EQ(status.code, 1);
  EXPECT_THAT(status.said, HasSubstr("start one with: vtl run FILE"));
}

// Each thread of the process, as /proc tells of it.
std::vector<std::string> threads_of(pid_t pid) {
  std::vector<std::string> out;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream status(task.path() / "status");
    out.emplace_back(std::istreambuf_iterator<char>(status), std::istreambuf_iterator<char>());
  }
  return out;
}

// A peer that is never there: its transport has threads of its own.
constexpr const char* kPeer =
    "peers: { p: { address: 127.0.0.1, port: 9, key: 0123456789abcdef } }\n";

// CAP_NET_ADMIN and CAP_NET_BIND_SERVICE, or nothing.
const auto kFewRights = testing::AllOf(
    HasSubstr("NoNewPrivs:\t1"),
    testing::AnyOf(HasSubstr("CapPrm:\t0000000000001400"), HasSubstr("CapPrm:\t0000000000000000")));

TEST_F(Cli, EveryThreadGivesUpTheRightsThatRunningDoesNotNeed) {
  Child run({"vtl", "run", write_config(kPeer)});
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  EXPECT_EQ(ask("status").code, 0);
  const auto threads = threads_of(run.pid());
  EXPECT_GE(threads.size(), 3U) << "main, a worker, the control socket's";
  EXPECT_THAT(threads, testing::Each(kFewRights));
  run.signal(SIGTERM);
  EXPECT_EQ(run.finish(), 0) << run.said();
}

TEST_F(Cli, AConfiguredUserIsThatOfEveryThread) {
  // A process that has changed its user may not be traced, which the leak checker does at the end.
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
  Child run({"vtl", "run", write_config(kPeer + std::string("user: nobody\n"))});
  unsetenv("ASAN_OPTIONS");
  if (geteuid() != 0) {
    EXPECT_EQ(run.finish(), 1);
    EXPECT_THAT(run.said(), HasSubstr("cannot become user 'nobody'"));
    return;
  }
  ASSERT_TRUE(run.wait_for("running")) << run.said();
  const auto threads = threads_of(run.pid());
  EXPECT_THAT(threads, testing::Each(kFewRights));
  EXPECT_THAT(threads, testing::Each(testing::Not(HasSubstr("Uid:\t0"))));
  run.signal(SIGTERM);
  EXPECT_EQ(run.finish(), 0) << run.said();
}

// Every example, as it stands in conf/, with the secret that it asks for beside it.
TEST_F(Cli, EveryExampleConfigurationIsGood) {
  std::size_t examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(VTL_SOURCE_DIR "/conf")) {
    std::filesystem::copy_file(entry.path(), folder_ + "/" + entry.path().filename().string());
    ++examples;
  }
  EXPECT_GE(examples, 7U);
  std::ofstream(folder_ + "/site.key") << "an example's secret, of no worth\n";
  chmod((folder_ + "/site.key").c_str(), 0600);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() != ".yaml") continue;
    const auto checked = vtl({"check", entry.path()});
    EXPECT_EQ(checked.code, 0) << checked.said;
  }
}

}  // namespace
}  // namespace vtl
