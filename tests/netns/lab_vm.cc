// A real guest: boots, gets its address, and fetches a file with an unmodified program.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/virtual_machine.h"

namespace vtl::lab {
namespace {

/// A file of `octets` that no compression or padding could make by chance.
void write_noise(const std::filesystem::path& path, std::size_t octets) {
  std::mt19937_64 generator(20);
  std::string content(octets, '\0');
  for (char& c : content) c = static_cast<char>(generator());
  std::ofstream(path, std::ios::binary) << content;
}

TEST(LabVm, GuestOnATapFetchesAFileWithItsHash) {
  Lab lab;
  Host& site = *must(lab.add_host("site"));
  Host& server = *must(lab.add_host("server"));
  must(lab.connect({site, "toserver"}, {server, "eth0"}));
  must(site.add_tap("tap0"));
  must(site.add_bridge("br0", {"tap0", "toserver"}));
  must(server.ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0 nodad"));
  write_noise(lab.folder() / "file", 3'000'000);
  const std::string hash =
      must(server.output_of({"sha256sum", (lab.folder() / "file").string()})).substr(0, 64);
  Process web = must(server.start(
      {.argv = {"busybox", "httpd", "-f", "-p", "10.0.0.2:80", "-h", lab.folder().string()}}));
  must(web.wait_for_port(Protocol::kTcp, 80, 5s));

  auto guest = must(VirtualMachine::start(
      site,
      {.netdev = "tap0",
       .address = "10.0.0.1/24",
       .address6 = "fd00::1/64",
       .script = "ping -c 1 -W 5 fd00::2 && wget -q http://10.0.0.2/file && sha256sum file"}));
  const auto result = guest.wait(90s);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 0) << result->console;
  EXPECT_THAT(result->console, testing::HasSubstr(hash));
}

/// The other end of a guest's stream socket: passes frames between it and a tap device of the
/// host, each with its length in four octets in front, until the guest is gone.
class SocketToTap {
 public:
  SocketToTap(Host& host, const std::filesystem::path& path) {
    must(host.ip(
        "tuntap add dev tap0 mode tap\nlink set dev tap0 up\naddr add 10.0.0.2/24 dev tap0"));
    const InHost inside = host.enter();
    tap_ = Fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    std::strcpy(request.ifr_name, "tap0");
    EXPECT_EQ(::ioctl(tap_.get(), TUNSETIFF, &request), 0);
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strcpy(address.sun_path, path.c_str());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    relay_ = std::thread([this] { relay(); });
  }
  ~SocketToTap() { relay_.join(); }

 private:
  void relay() {
    const Fd guest(::accept(listener_.get(), nullptr, nullptr));
    std::array<char, 65536 + 4> frame{};
    for (;;) {
      pollfd polls[] = {{guest.get(), POLLIN, 0}, {tap_.get(), POLLIN, 0}};
      ::poll(polls, 2, -1);
      if ((polls[1].revents & POLLIN) != 0) {
        const ssize_t n = ::read(tap_.get(), frame.data() + 4, frame.size() - 4);
        const std::uint32_t length = htonl(static_cast<std::uint32_t>(n));
        std::memcpy(frame.data(), &length, 4);
        (void)!::send(guest.get(), frame.data(), static_cast<std::size_t>(n) + 4, MSG_NOSIGNAL);
      }
      if (polls[0].revents != 0) {
        std::uint32_t length = 0;
        if (::recv(guest.get(), &length, 4, MSG_WAITALL) != 4) return;
        length = ntohl(length);
        ASSERT_LE(length, frame.size());
        if (::recv(guest.get(), frame.data(), length, MSG_WAITALL) != length) return;
        (void)!::write(tap_.get(), frame.data(), length);
      }
    }
  }

  Fd tap_, listener_;
  std::thread relay_;
};

TEST(LabVm, GuestOnASocketReachesItsOtherEnd) {
  Lab lab;
  Host& site = *must(lab.add_host("site"));
  const std::filesystem::path path = "/run/vm.sock";
  const SocketToTap relay(site, path);
  auto guest = must(VirtualMachine::start(site, {.netdev_type = Netdev::kUnixSocket,
                                                 .netdev = path.string(),
                                                 .address = "10.0.0.1/24",
                                                 .script = "ping -c 1 -W 5 10.0.0.2"}));
  const auto result = guest.wait(90s);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 0) << result->console;
}

TEST(LabVm, ScriptsStatusIsTold) {
  Lab lab;
  Host& site = *must(lab.add_host("site"));
  must(site.add_tap("tap0"));
  auto guest = must(VirtualMachine::start(
      site, {.netdev = "tap0", .address = "10.0.0.1/24", .script = "echo here; exit 7"}));
  const auto result = guest.wait(90s);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->status, 7);
  EXPECT_THAT(result->console, testing::HasSubstr("here"));
}

}  // namespace
}  // namespace vtl::lab
