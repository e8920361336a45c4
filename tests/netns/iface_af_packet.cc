// af_packet against the real kernel.
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server
//   10.0.0.1, fd00::1     VTL's interfaces        10.0.0.2, fd00::2
#include "vtl/iface/af_packet.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <algorithm>
#include <set>

#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/forwarder.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;

class AfPacketTest : public ::testing::Test {
 protected:
  void connect(int mtu = 1500, lab::Offloads offloads = lab::Offloads::kKeep) {
    client_ = must(lab_.add_host("client"));
    host_ = must(lab_.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
    server_ = must(lab_.add_host("server"));
    const lab::LinkOptions options{.mtu = mtu, .offloads = offloads};
    must(lab_.connect({*client_, "eth0"}, {*host_, "in0"}, options));
    must(lab_.connect({*host_, "out0"}, {*server_, "eth0"}, options));
    must(client_->ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0"));
    must(server_->ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0"));
  }

  std::unique_ptr<iface::Interface> open(const std::string& device, bool host_frames = false) {
    const auto inside = host_->enter();
    return must(iface::open_af_packet({.device = device, .host_frames = host_frames}));
  }

  // Reads until `enough` says so or the bound has passed.
  template <class Enough>
  Batch read_until(iface::Interface& from, Enough enough) {
    Batch batch;
    (void)lab::wait_until(
        [&] {
          (void)from.read(pool_, clock_.now(), batch);
          return enough(batch);
        },
        5s);
    return batch;
  }

  lab::Lab lab_;
  lab::Host *client_ = nullptr, *host_ = nullptr, *server_ = nullptr;
  SystemClock clock_;
  PacketPool pool_;
};

TEST_F(AfPacketTest, TcpCrossesWholeInSuperFramesBothWays) {
  connect();
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const Octets data = test::pattern(16 << 20);
  for (const auto& [from, to] : {std::pair{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}}) {
    const auto [client, server] = test::connected(*client_, from, *server_, to, kPort);
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << from;
    EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data) << from;
  }
  EXPECT_GT(forwarder.a().counters().rx_super_frames.value(), 50U);
  EXPECT_GT(forwarder.a().counters().tx_super_frames.value(), 50U);
  EXPECT_EQ(forwarder.a().counters().drops.total(), 0U);
  EXPECT_EQ(forwarder.b().counters().drops.total(), 0U);
}

}  // namespace
}  // namespace vtl
