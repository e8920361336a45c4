// Two gateways behind one peer: whose guest side gets the connection that the peer asks for.

#include "vtl/service/gateway/stream_router.h"

#include <gtest/gtest.h>

#include "tests/support/gateway_world.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ip_network.h"
#include "vtl/wire/ipv4.h"

namespace vtl::test {
namespace {

using engine::Direction;

class Opener final : public transport::StreamHandler {
 public:
  void on_open() override { opened = true; }
  void on_refused(transport::StreamError reason) override { refused = reason; }
  void on_readable() override {}
  void on_writable() override {}
  void on_reset(transport::StreamError) override {}
  bool opened = false;
  std::optional<transport::StreamError> refused;
};

/// A site with two guests, and the peer that opens streams to it.
class TwoGuests : public testing::Test {
 protected:
  void start(std::vector<wire::IpNetwork> first, std::vector<wire::IpNetwork> second) {
    MemoryTransport::join(peer_, site_);
    const auto router = std::make_shared<service::StreamRouter>();
    for (auto* networks : {&first, &second}) {
      service::GatewayOptions options;
      options.peer = "peer";
      options.guest_networks = *networks;
      const std::size_t i = gateways_[0] == nullptr ? 0 : 1;
      gateways_[i] = std::move(service::Gateway::create(options, nullptr, router).value());
      gateways_[i]->start(contexts_[i]);
    }
  }

  /// The peer's client wants to go to `server`.
  void open(const char* server) {
    service::Preface preface;
    preface.key.source = {wire::Ipv4Address(203, 0, 113, 5), wire::Port(40000)};
    preface.key.destination = {wire::IpAddress::parse(server).value(), wire::Port(80)};
    preface.client_mac = kClientMac;
    preface.next_hop_mac = wire::MacAddress({2, 0, 0, 0, 0, 9});
    std::array<std::uint8_t, service::Preface::kMaxSize> bytes;
    preface.emit(bytes);
    opener_ = Opener();
    stream_ = peer_.open(Bytes{bytes.data(), preface.size()}, opener_);
    reactor_.run_tasks();
  }

  /// Frames toward the guest of gateway `i` since the last call.
  std::size_t sent_to_guest(std::size_t i) {
    return std::exchange(contexts_[i].emitted[static_cast<std::size_t>(Direction::kInbound)], {})
        .size();
  }
  /// The host `ip` speaks, or answers, at the guest side of gateway `i`.
  void hear(std::size_t i, const wire::Ipv4Address& ip) {
    wire::EthernetFields header;
    header.source = kServerMac;
    header.destination = wire::MacAddress::broadcast();
    header.ether_type = wire::EtherType::kArp;
    wire::ArpFields arp;
    arp.operation = wire::ArpOperation::kReply;
    arp.sender_mac = kServerMac;
    arp.sender_ip = ip;
    Batch batch;
    batch.push_back(pool_.allocate(header.size() + wire::ArpFields::kSize));
    header.emit(batch.front().mutable_bytes());
    arp.emit(batch.front().mutable_bytes().subspan(header.size()));
    gateways_[i]->process(Direction::kOutbound, batch);
    reactor_.run_tasks();
  }
  /// The host `ip` sends a packet, which passes gateway `i` in `direction`.
  void pass(std::size_t i, Direction direction, const wire::Ipv4Address& from,
            const wire::Ipv4Address& to) {
    wire::EthernetFields header;
    header.source = kClientMac;
    header.destination = kServerMac;
    header.ether_type = wire::EtherType::kIpv4;
    wire::Ipv4Fields ip;
    ip.source = from;
    ip.destination = to;
    ip.protocol = wire::IpProtocol::kEsp;
    Batch batch;
    batch.push_back(pool_.allocate(header.size() + ip.size()));
    header.emit(batch.front().mutable_bytes());
    ip.emit(batch.front().mutable_bytes().subspan(header.size()));
    gateways_[i]->process(direction, batch);
    reactor_.run_tasks();
  }
  void wait(Duration by) {
    bool over = false;
    Timer timer([&over] { over = true; });
    reactor_.timers().arm(timer, reactor_.now() + by);
    ASSERT_TRUE(reactor_.run_until([&over] { return over; }, by + 1s));
  }
  [[nodiscard]] double accepted(std::size_t i, std::string_view name = "half_open") const {
    std::vector<engine::ServiceMetric> metrics;
    gateways_[i]->list_metrics(metrics);
    for (const auto& m : metrics)
      if (m.name == name) return m.value;
    return -1;
  }

  PacketPool pool_;
  VirtualReactor reactor_;
  MemoryTransport peer_{reactor_, 65536};
  MemoryTransport site_{reactor_, 65536};
  std::array<TestContext, 2> contexts_{TestContext{reactor_, pool_, &site_},
                                       TestContext{reactor_, pool_, &site_}};
  std::array<std::unique_ptr<service::Gateway>, 2> gateways_;
  Opener opener_;
  std::unique_ptr<transport::Stream> stream_;
};

wire::IpNetwork net(const char* text) {
  return wire::IpNetwork::parse(text).value();
}

TEST_F(TwoGuests, TheLongestPrefixDecides) {
  start({net("10.0.0.0/16"), net("192.0.2.1")}, {net("10.0.7.0/24")});
  open("10.0.7.9");
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 1);
  EXPECT_EQ(sent_to_guest(0), 0U);
  EXPECT_EQ(sent_to_guest(1), 1U) << "it is looked for there";
  open("10.0.8.9");
  EXPECT_EQ(accepted(0), 1);
  open("192.0.2.1");
  EXPECT_EQ(accepted(0), 2);
}

TEST_F(TwoGuests, ANetworkThatNobodyServesIsUnreachable) {
  start({net("10.0.0.0/24")}, {net("10.0.1.0/24")});
  open("10.0.2.1");
  EXPECT_EQ(opener_.refused, transport::StreamError::kNetworkUnreachable);
  EXPECT_EQ(accepted(0, "unserved_total"), 1);
  EXPECT_EQ(sent_to_guest(0) + sent_to_guest(1), 0U);
}

TEST_F(TwoGuests, AGatewayWithoutNetworksTakesTheRest) {
  start({net("10.0.0.0/24")}, {});
  open("198.51.100.1");
  EXPECT_EQ(accepted(1), 1);
  open("10.0.0.1");
  EXPECT_EQ(accepted(0), 1);
}

TEST_F(TwoGuests, WithoutNetworksTheGuestThatHasSpokenGetsItsConnections) {
  start({}, {});
  hear(0, wire::Ipv4Address(10, 0, 0, 1));
  hear(1, wire::Ipv4Address(10, 0, 0, 2));
  open("10.0.0.2");
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 1);
  open("10.0.0.1");
  EXPECT_EQ(accepted(0), 1);
}

TEST_F(TwoGuests, WithoutNetworksAndWithoutAWordBothGuestsAreAsked) {
  start({}, {});
  open("10.0.0.2");
  EXPECT_EQ(sent_to_guest(0), 1U);
  EXPECT_EQ(sent_to_guest(1), 1U);
  EXPECT_EQ(accepted(0) + accepted(1), 0);
  hear(1, wire::Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(accepted(1), 1);
  EXPECT_EQ(accepted(0), 0);

  open("10.0.0.3");
  EXPECT_TRUE(reactor_.run_until([&] { return opener_.refused.has_value(); }, 10s));
  EXPECT_EQ(opener_.refused, transport::StreamError::kHostUnreachable);
}

TEST_F(TwoGuests, AFrameForAHostDoesNotTellThatTheHostIsThere) {
  start({}, {});
  const wire::Ipv4Address far(203, 0, 113, 9);
  pass(0, Direction::kInbound, far, wire::Ipv4Address(10, 0, 0, 2));  // flooded to every guest
  hear(1, wire::Ipv4Address(10, 0, 0, 2));
  open("10.0.0.2");
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 1);

  for (const std::size_t i : {0, 1})
    pass(i, Direction::kInbound, far, wire::Ipv4Address(10, 0, 0, 3));
  sent_to_guest(0);
  sent_to_guest(1);
  open("10.0.0.3");
  EXPECT_EQ(sent_to_guest(0), 1U) << "it is asked for";
  EXPECT_EQ(sent_to_guest(1), 1U);
  pass(0, Direction::kInbound, far, wire::Ipv4Address(10, 0, 0, 3));
  EXPECT_EQ(accepted(0), 0);
  hear(1, wire::Ipv4Address(10, 0, 0, 3));
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 2);

  open("10.0.0.4");
  pass(0, Direction::kInbound, far, wire::Ipv4Address(10, 0, 0, 4));  // seen while it is asked for
  EXPECT_EQ(accepted(0), 0);
  hear(1, wire::Ipv4Address(10, 0, 0, 4));
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 3);
}

TEST_F(TwoGuests, AHostThatMovedIsFoundWhereItIsOnceItsOldPlaceIsForgotten) {
  start({}, {});
  const wire::Ipv4Address far(203, 0, 113, 9);
  const wire::Ipv4Address host(10, 0, 0, 2);
  hear(0, host);
  for (int minute = 0; minute < 25; ++minute) {
    wait(1min);
    pass(0, Direction::kInbound, far, host);
    if (minute > 10) pass(1, Direction::kOutbound, host, far);
  }
  open("10.0.0.2");
  EXPECT_EQ(accepted(0), 0);
  EXPECT_EQ(accepted(1), 1);
}

TEST_F(TwoGuests, AHostThatGoesOnSpeakingIsNotForgotten) {
  start({}, {});
  for (int minute = 0; minute < 60; ++minute) {
    pass(1, Direction::kOutbound, wire::Ipv4Address(10, 0, 0, 2),
         wire::Ipv4Address(203, 0, 113, 5));
    wait(1min);
  }
  open("10.0.0.2");
  EXPECT_EQ(accepted(1), 1);
  EXPECT_EQ(sent_to_guest(0), 0U) << "nobody is asked";
}

TEST_F(TwoGuests, AnOpenerThatGivesUpOrAGatewayThatEndsDuringTheSearchHarmsNobody) {
  start({}, {});
  open("10.0.0.2");
  stream_.reset();
  reactor_.run_tasks();
  hear(1, wire::Ipv4Address(10, 0, 0, 2));
  EXPECT_EQ(accepted(1), 0);
  open("10.0.0.3");
  gateways_[1].reset();
  hear(0, wire::Ipv4Address(10, 0, 0, 3));
  EXPECT_EQ(accepted(0), 1);
  gateways_[0].reset();
  open("10.0.0.4");
  EXPECT_EQ(opener_.refused, transport::StreamError::kPeerDown);
}

}  // namespace
}  // namespace vtl::test
