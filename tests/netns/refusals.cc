// What stands in the way of a start, as the program tells it: one line that says what is wrong and
// what would be right, exit status 1, and nothing left behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "tests/netns/streams.h"

namespace vtl::test {
namespace {

using lab::must;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kSocket = "/run/vtl-refusals.sock";

class Refusals : public testing::Test {
 protected:
  Refusals() {
    must(lab_.connect({host_, "eth0"}, {other_, "eth0"}));
    must(lab_.connect({host_, "eth1"}, {other_, "eth1"}));
    must(host_.ip("addr add 10.0.0.1/24 dev eth0\nlink set lo up"));
  }

  // The lines that `vtl run` ends with; its exit status is 1 and nothing of it is left.
  std::vector<std::string> refused(const std::string& guest, const std::string& more = "",
                                   std::vector<std::string> prefix = {}) {
    const auto file = host_.folder() / "vtl.yaml";
    std::ofstream(file) << "interfaces:\n  guest: " << guest
                        << "\n  uplink: { type: af_packet, device: eth1 }\n"
                           "  file: { type: pcap_file, write: not-to-be.pcapng }\n"
                        << "links:\n"
                           "  - { name: l, guest: guest, network: uplink }\n"
                           "  - { name: f, guest: file, network: none }\n"
                        << more;
    std::filesystem::permissions(file, std::filesystem::perms(0600));  // it may hold a key
    const auto devices = host_.devices();
    prefix.insert(prefix.end(), {lab::vtl_binary().string(), "run", file.string()});
    auto vtl = must(host_.start({.argv = prefix}));
    const auto exit = must(vtl.wait(20s));
    EXPECT_EQ(exit.code, 1) << to_string(exit);
    EXPECT_EQ(vtl.output(), "");
    EXPECT_EQ(vtl.errors().find("running"), std::string::npos) << vtl.errors();
    EXPECT_FALSE(std::filesystem::exists(kSocket));
    EXPECT_EQ(host_.devices(), devices);
    EXPECT_THAT(must(host_.output_of({"ip", "-d", "link", "show", "dev", "eth1"})),
                HasSubstr("promiscuity 0"));
    std::vector<std::string> lines;
    std::istringstream errors(vtl.errors());
    for (std::string line; std::getline(errors, line);) lines.push_back(line);
    return lines;
  }
  static std::string control(const std::string& more = "") {
    return std::string("control: { socket: ") + kSocket + more + " }\n";
  }
  static std::string peer(const std::string& transport) {
    return "peers:\n  b: { transport: " + transport +
           ", listen: \"10.0.0.1:9000\", key: 0123456789abcdef }\n" + control();
  }

  lab::Lab lab_;
  lab::Host& host_ = *must(lab_.add_host("host"));
  lab::Host& other_ = *must(lab_.add_host("other"));
};

constexpr const char* kGuest = "{ type: af_packet, device: eth0 }";

TEST_F(Refusals, APortInUse) {
  for (const auto& [transport, type] : {std::pair{"udt", SOCK_DGRAM}, {"tcp", SOCK_STREAM}}) {
    const auto taken = bound_socket(host_, type, "10.0.0.1", 9000);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(::listen(taken.get(), 1), 0);
    }
    const auto lines = refused(kGuest, peer(transport));
    ASSERT_EQ(lines.size(), 1U) << testing::PrintToString(lines);
    EXPECT_THAT(lines[0],
                AllOf(HasSubstr("vtl.yaml"), HasSubstr(": peer 'b': cannot "),
                      HasSubstr(" 10.0.0.1:9000 ("), HasSubstr(": Address already in use")));
  }
}

TEST_F(Refusals, AnAddressThatIsNotOurs) {
  auto text = peer("udt");
  text.replace(text.find("10.0.0.1:"), 8, "10.0.0.9");
  const auto lines = refused(kGuest, text);
  ASSERT_EQ(lines.size(), 1U) << testing::PrintToString(lines);
  EXPECT_THAT(lines[0], AllOf(HasSubstr(": peer 'b': cannot "), HasSubstr(" 10.0.0.9:9000 ("),
                              HasSubstr("Cannot assign requested address")));
}

TEST_F(Refusals, AMetricsPortInUse) {
  const auto taken = bound_socket(host_, SOCK_STREAM, "127.0.0.1", 9464);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  const auto lines = refused(kGuest, control(", metrics: 127.0.0.1:9464"));
  const auto told = std::ranges::count_if(lines, [](const std::string& line) {
    return line.find("metrics: cannot listen on 127.0.0.1:9464: Address already in use") !=
           std::string::npos;
  });
  EXPECT_EQ(told, 1) << testing::PrintToString(lines);
}

TEST_F(Refusals, AMissingDevice) {
  for (const std::string type : {"af_packet", "pcap"}) {
    const auto lines = refused("{ type: " + type + ", device: nosuch }", control());
    ASSERT_EQ(lines.size(), 1U) << testing::PrintToString(lines);
    EXPECT_THAT(
        lines[0],
        AllOf(
            HasSubstr("vtl.yaml"), HasSubstr("interface 'guest'"),
            HasSubstr(type + " nosuch: no such network device; `ip link` lists those there are")));
  }
}

TEST_F(Refusals, AMissingRight) {
  // Root in name, with no capability to gain by exec.
  const std::vector<std::string> without = {"setpriv", "--bounding-set", "-all", "--inh-caps",
                                            "-all"};
  for (const auto& [guest, need] :
       {std::pair{"{ type: af_packet, device: eth0 }", "run as root or with CAP_NET_RAW"},
        {"{ type: pcap, device: eth0 }", "run as root or with CAP_NET_RAW"},
        {"{ type: tap, device: tap7 }", "run as root or with CAP_NET_ADMIN"}}) {
    const auto lines = refused(guest, control(), without);
    ASSERT_EQ(lines.size(), 1U) << testing::PrintToString(lines);
    EXPECT_THAT(lines[0], AllOf(HasSubstr("vtl.yaml"), HasSubstr("interface 'guest'"),
                                HasSubstr("not permitted"), HasSubstr(need)));
  }
}

}  // namespace
}  // namespace vtl::test
