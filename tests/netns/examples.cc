// The programs of examples/, each run once as its first lines say.
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server
//   10.0.0.1, fd00::1    the example             10.0.0.2, fd00::2

#include <gtest/gtest.h>

#include "lab/must.h"
#include "tests/netns/streams.h"
#include "tests/support/three_hosts.h"

namespace vtl {
namespace {

using lab::must;

constexpr std::uint16_t kPort = 5000;

struct Case {
  const char* name;
  const char* client;
  const char* server;
  bool to_server;
  bool from_the_start;  // the example sees the handshake, or only a later exchange
};

class InjectData : public ::testing::TestWithParam<Case> {
 protected:
  lab::Process start(bool to_server, const std::string& text) {
    lab::Process example = must(hosts_.host.start(
        {.argv = {VTL_BINARY_DIR "/bin/inject_data", "in0", "out0", std::to_string(kPort),
                  to_server ? "to-server" : "to-client", text}}));
    must(example.wait_for_line("watching", 10s));
    return example;
  }

  static std::string receive(int fd, std::size_t size) {
    std::string text;
    while (text.size() < size && test::ready(fd, POLLIN, 10'000)) {
      std::array<char, 256> chunk{};
      const ssize_t n = ::recv(fd, chunk.data(), chunk.size(), 0);
      if (n <= 0) break;
      text.append(chunk.data(), static_cast<std::size_t>(n));
    }
    return text;
  }

  test::ThreeHosts hosts_;
};

TEST_P(InjectData, TheKernelReadsWhatItsPeerNeverSent) {
  const Case& c = GetParam();
  const std::string text = "no one at the other end has written this";
  // Who comes late meets the connection in the middle: the example is what joins the two devices,
  // so until it runs a kernel bridge does.
  if (!c.from_the_start) must(hosts_.host.add_bridge("br0", {"in0", "out0"}));
  std::optional<lab::Process> example;
  if (c.from_the_start) example = start(c.to_server, text);
  const auto [client, server] =
      test::connected(hosts_.client, c.client, hosts_.server, c.server, kPort);
  std::string expected = text;
  if (!c.from_the_start) {
    must(hosts_.host.ip("link del br0"));
    example = start(c.to_server, text);
    ASSERT_EQ(::send(client.get(), "question ", 9, MSG_NOSIGNAL), 9);
    if (c.to_server) expected = "question " + text;
  }
  EXPECT_EQ(receive(c.to_server ? server.get() : client.get(), expected.size()), expected);
  must(example->wait_ok(20s));
  EXPECT_NE(example->output().find("has acknowledged 40 octets"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Examples, InjectData,
    testing::Values(Case{"ToServer", "10.0.0.1", "10.0.0.2", true, true},
                    Case{"ToClient", "10.0.0.1", "10.0.0.2", false, true},
                    Case{"ToServerIpv6", "fd00::1", "fd00::2", true, true},
                    Case{"ToServerMetInTheMiddle", "10.0.0.1", "10.0.0.2", true, false},
                    Case{"ToClientMetInTheMiddle", "10.0.0.1", "10.0.0.2", false, false}),
    [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace vtl
