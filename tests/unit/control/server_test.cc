#include "vtl/control/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <linux/sockios.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/control/fake_source.h"
#include "vtl/control/client.h"
#include "vtl/control/listings.h"
#include "vtl/control/metrics_server.h"

namespace vtl::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ControlServer : public testing::Test {
 protected:
  ControlServer() {
    std::string pattern = testing::TempDir() + "vtl-control-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/vtl.sock";
    source_.status_value = sample_status();
    source_.flows_value = {sample_flow()};
  }
  ~ControlServer() override { std::filesystem::remove_all(folder_); }

  void start() {
    auto listener = listen_local(path_);
    ASSERT_TRUE(listener) << listener.error().message;
    auto server = Server::start(std::move(*listener), source_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  // Sends raw octets and reads until the server closes.
  std::string exchange(const std::string& octets) const {
    const auto connection = connect_local(path_);
    EXPECT_TRUE(connection);
    EXPECT_EQ(send(connection->get(), octets.data(), octets.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(octets.size()));
    std::string answer;
    std::array<char, 4096> chunk;
    for (;;) {
      const auto n = recv(connection->get(), chunk.data(), chunk.size(), 0);
      if (n <= 0) return answer;
      answer.append(chunk.data(), static_cast<std::size_t>(n));
    }
  }

  FakeSource source_;
  std::string folder_;
  std::string path_;
  std::unique_ptr<Server> server_;
};

TEST_F(ControlServer, AnswersEveryListing) {
  start();
  const auto status = ask(path_, {.command = Request::Command::kStatus});
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(json::parse(*status)["peers"][0]["name"], "siteb");
  const auto flows = ask(path_, {.command = Request::Command::kFlows});
  ASSERT_TRUE(flows) << flows.error().message;
  EXPECT_EQ(json::parse(*flows)["flows"][0]["transform"], "udt to siteb");
  const auto stats = ask(path_, {.command = Request::Command::kStats});
  ASSERT_TRUE(stats) << stats.error().message;
  EXPECT_EQ(json::parse(*stats)["interfaces"][0]["drops"]["malformed-ip"], 3);
}

TEST_F(ControlServer, AnActionReachesTheServiceAndItsRefusalTheClient) {
  start();
  Request request{.command = Request::Command::kAct};
  request.act = {.link = "vm1", .service = "anonymizer", .action = "new-identity"};
  EXPECT_TRUE(ask(path_, request));
  EXPECT_EQ(source_.acted.link, "vm1");
  EXPECT_EQ(source_.acted.service, "anonymizer");
  request.act.action = "dance";
  const auto refused = ask(path_, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "no action 'dance'");
}

TEST_F(ControlServer, ALongListingArrivesWhole) {
  source_.flows_value.assign(kMaxListedFlows, sample_flow());
  start();
  const auto flows = ask(path_, {.command = Request::Command::kFlows});
  ASSERT_TRUE(flows) << flows.error().message;
  EXPECT_EQ(json::parse(*flows)["flows"].size(), kMaxListedFlows);
}

TEST_F(ControlServer, StopReachesTheProgram) {
  start();
  EXPECT_TRUE(ask(path_, {.command = Request::Command::kStop}));
  EXPECT_TRUE(source_.stop_requested);
}

TEST_F(ControlServer, TheSocketIsItsOwnersAlone) {
  start();
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(ControlServer, TheSocketIsRemovedAtTheEnd) {
  start();
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  const auto answer = ask(path_, {});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("no vtl is running with the control socket"));
}

TEST_F(ControlServer, ASecondServerIsRefusedAndTheFirstGoesOn) {
  start();
  const auto second = listen_local(path_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("another vtl is running with it"));
  EXPECT_TRUE(ask(path_, {}));
}

TEST_F(ControlServer, ADeadSocketIsReplacedAndAFileIsNot) {
  start();
  // A socket file whose process has ended: the listener is closed, the file stays.
  const auto stale = folder_ + "/stale.sock";
  {
    const Descriptor ended(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(stale, std::begin(address.sun_path));
    ASSERT_EQ(bind(ended.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(stale));
  {
    auto listener = listen_local(stale);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_TRUE(Server::start(std::move(*listener), source_));
  }
  EXPECT_FALSE(std::filesystem::exists(stale)) << "it goes with who listened";

  const auto file = folder_ + "/file";
  std::ofstream(file) << "precious";
  const auto refused = listen_local(file);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("a file that is no socket stands there"));
  EXPECT_EQ(std::filesystem::file_size(file), 8U);
}

TEST_F(ControlServer, BadRequestsAreAnsweredWithTheReason) {
  start();
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\n\r\n"), HasSubstr("not one flat JSON object"));
  EXPECT_THAT(exchange(std::string(2 * kMaxRequest, 'a')),
              HasSubstr("the request is longer than 4096 octets"));
  EXPECT_THAT(exchange("{\"command\":\"dump\",\"link\":\"vm2\"}\n"),
              HasSubstr("no link 'vm2'; there is vm1"));
}

TEST_F(ControlServer, IdleConnectionsBeyondTheBoundAreClosed) {
  start();
  std::vector<Descriptor> idle;
  for (std::size_t i = 0; i < Server::kMaxConnections; ++i) {
    auto connection = connect_local(path_);
    ASSERT_TRUE(connection);
    idle.push_back(std::move(*connection));
  }
  EXPECT_EQ(exchange(""), "");
  idle.clear();
  // The places are free again as soon as the server has seen the ends.
  Outcome<std::string> answer;
  for (int i = 0; i < 1000 && !(answer = ask(path_, {})); ++i) {
  }
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST_F(ControlServer, ADumpStreamsUntilTheClientCloses) {
  source_.dump_value.assign(300'000, 'p');
  start();
  {
    const auto dump = open_dump(path_, {.link = "vm1"});
    ASSERT_TRUE(dump) << dump.error().message;
    std::string octets;
    std::array<char, 65536> chunk;
    while (octets.size() < source_.dump_value.size()) {
      const auto n = recv(dump->get(), chunk.data(), chunk.size(), 0);
      ASSERT_GT(n, 0);
      octets.append(chunk.data(), static_cast<std::size_t>(n));
    }
    EXPECT_EQ(octets, source_.dump_value);
  }
  EXPECT_TRUE(ask(path_, {}));
}

TEST_F(ControlServer, ADumpsClientThatHasEnoughGetsTheRestAndTheEnd) {
  source_.dump_value.assign(300'000, 'p');
  start();
  const auto dump = open_dump(path_, {.link = "vm1"});
  ASSERT_TRUE(dump) << dump.error().message;
  ASSERT_EQ(shutdown(dump->get(), SHUT_WR), 0);
  std::string octets;
  std::array<char, 65536> chunk;
  while (const auto n = recv(dump->get(), chunk.data(), chunk.size(), 0)) {
    ASSERT_GT(n, 0);
    octets.append(chunk.data(), static_cast<std::size_t>(n));
  }
  EXPECT_EQ(octets, source_.dump_value + "the end");
}

TEST_F(ControlServer, WhatADumpsClientSaysOnIsReadAndLetGo) {
  start();
  const auto dump = open_dump(path_, {.link = "vm1"});
  ASSERT_TRUE(dump) << dump.error().message;
  const std::string more(10'000, 'm');
  ASSERT_EQ(send(dump->get(), more.data(), more.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(more.size()));
  // Octets that the server has not read; each question is a turn of its loop.
  int unread = -1;
  for (int i = 0; i < 1000 && unread != 0; ++i) {
    ASSERT_TRUE(ask(path_, {}));
    ASSERT_EQ(ioctl(dump->get(), SIOCOUTQ, &unread), 0);
  }
  EXPECT_EQ(unread, 0);
}

// Leaves the process no free descriptor until its end.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const Descriptor first_free(dup(STDERR_FILENO));
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(first_free.get());
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// How many lines were logged. (The count stands outside: where descriptors are missing a sanitizer
// cannot look at an object that has virtual functions.)
class CountingSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CountingSink(std::atomic<int>& lines) : lines_(lines) {}

 private:
  void sink_it_(const spdlog::details::log_msg&) override { ++lines_; }
  void flush_() override {}
  std::atomic<int>& lines_;
};

TEST_F(ControlServer, WithoutDescriptorsClientsWaitAndAreAnsweredLater) {
  std::atomic<int> lines = 0;
  const auto sink = std::make_shared<CountingSink>(lines);
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  start();
  // A sanitizer looks at each class of object once, and needs descriptors for that.
  spdlog::warn("there are descriptors yet");
  ASSERT_TRUE(ask(path_, {.command = Request::Command::kStatus}));
  lines = 0;
  const Descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  {
    const NoDescriptors none;
    ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    const auto give_up = std::chrono::steady_clock::now() + 30s;
    while (lines == 0 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  }
  EXPECT_EQ(lines, 1);
  const std::string question = "{\"command\":\"status\"}\n";
  EXPECT_GT(send(client.get(), question.data(), question.size(), MSG_NOSIGNAL), 0);
  std::array<char, 4096> chunk;
  EXPECT_GT(recv(client.get(), chunk.data(), chunk.size(), 0), 0);
  server_.reset();
  spdlog::set_default_logger(before);
}

TEST_F(ControlServer, LongPathIsRefusedInOneLine) {
  const auto listener = listen_local(std::string(200, 'x'));
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error().message, HasSubstr("the path must have 1 to 107 octets"));
}

TEST(MetricsServer, AnswersMetricsAndNothingElse) {
  FakeSource source;
  source.status_value = sample_status();
  auto server = MetricsServer::start(*wire::SocketAddress::parse("127.0.0.1:0"), source);
  ASSERT_TRUE(server) << server.error().message;
  httplib::Client client("127.0.0.1", (*server)->port().value());
  const auto metrics = client.Get("/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->status, 200);
  EXPECT_THAT(metrics->body, HasSubstr("vtl_peer_up{peer=\"siteb\"} 1\n"));
  const auto other = client.Get("/");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->status, 404);
}

TEST(MetricsServer, APortInUseIsOneClearLine) {
  FakeSource source;
  const auto first = MetricsServer::start(*wire::SocketAddress::parse("127.0.0.1:0"), source);
  ASSERT_TRUE(first);
  const wire::SocketAddress address{wire::Ipv4Address(127, 0, 0, 1), (*first)->port()};
  const auto second = MetricsServer::start(address, source);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("metrics: cannot listen on 127.0.0.1:"));
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace vtl::control
