// What strangers, routers and floods do to a split, on a virtual clock.

#include <gtest/gtest.h>

#include <set>
#include <span>

#include "tests/support/split_world.h"
#include "vtl/packet/access.h"
#include "vtl/wire/ethernet.h"

namespace vtl::test {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using endpoint::State;
using engine::Direction;
using wire::TcpFlags;

class SplitHostile : public testing::Test {
 protected:
  [[nodiscard]] testing::AssertionResult opens(std::uint16_t port,
                                               const endpoint::Config& config = {}) {
    world.connect(port, config);
    if (world.run_until([&] { return world.established(port); }, 10s)) {
      world.wait(1ms);  // the handshake's last segment
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "port " << port << " did not open";
  }

  /// A frame as the client's host could send it.
  Packet segment(std::uint16_t port, std::uint8_t flags, std::uint32_t seq, std::uint32_t ack = 0,
                 std::size_t payload = 0, const wire::MacAddress& source = kClientMac) {
    service::FramePath path{
        .source_mac = source, .destination_mac = kServerMac, .key = world.key_of(port)};
    return frame(path, flags, seq, ack, payload);
  }
  Packet frame(service::FramePath& path, std::uint8_t flags, std::uint32_t seq, std::uint32_t ack,
               std::size_t payload) {
    const std::vector<std::uint8_t> octets(payload, 'x');
    const std::array<Bytes, 1> pieces{Bytes(octets)};
    endpoint::OutSegment out;
    out.header.source = path.key.source.port;
    out.header.destination = path.key.destination.port;
    out.header.seq = wire::SeqNum(seq);
    out.header.ack = wire::SeqNum(ack);
    out.header.flags.bits = flags;
    out.header.window = 1000;
    out.payload = std::span(pieces).first(payload > 0 ? 1 : 0);
    out.payload_size = payload;
    return service::make_tcp_frame(world.pool, path, out);
  }

  SplitWorld world;
};

constexpr std::uint8_t kSyn = TcpFlags::kSyn;
constexpr std::uint8_t kAck = TcpFlags::kAck;
using Flags = std::initializer_list<std::uint8_t>;

TEST(SplitFlood, NeverMoreServersEstablishedThanHalfOpenConnections) {
  service::SplitOptions options;
  options.max_half_open = 8;
  SplitWorld world(options);
  world.serve();
  std::ptrdiff_t most = 0;
  for (std::uint16_t port = 10000; port < 10108; ++port) {
    auto& spoofed = world.connect(port);
    spoofed.endpoint->dispatch(world.reactor.now(), [&](const endpoint::OutSegment& syn) {
      EXPECT_FALSE(world.inject(Direction::kOutbound,
                                service::make_tcp_frame(world.pool, spoofed.path, syn)));
      return true;
    });
    world.client.connections.clear();
    world.client.silent = true;
    world.wait(20ms);
    world.client.silent = false;
    most = std::max(most, std::ranges::count_if(world.server.connections, [](const auto& entry) {
                      return entry.second.endpoint->state() == State::kEstablished;
                    }));
  }
  EXPECT_EQ(most, 8);
  EXPECT_EQ(world.metric("half_open"), 8);
  EXPECT_EQ(world.metric("limit_half_open_total"), 100);
  world.client.silent = true;
  world.wait(30s);
  EXPECT_EQ(world.metric("connections"), 0) << "their SYN,ACKs are not repeated for minutes";
  for (const auto& [key, connection] : world.server.connections) {
    EXPECT_EQ(connection.endpoint->end_reason(), EndReason::kReset);
  }
}

TEST_F(SplitHostile, OnlyASynTakesThePlaceOfWhatLingers) {
  world.serve();
  ASSERT_TRUE(opens(30000));
  world.server_end(30000).shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return world.client_end(30000).at_end(); }, 5s));
  world.client_end(30000).shutdown(world.reactor.now());
  world.wait(1s);
  world.client.silent = true;
  for (const std::uint8_t flags :
       Flags{kSyn | kAck, kSyn | TcpFlags::kRst, kSyn | kAck | TcpFlags::kRst,
             TcpFlags::kFin | kAck, kAck}) {
    EXPECT_FALSE(world.inject(Direction::kOutbound, segment(30000, flags, 5'000'000, 1)));
    world.wait(100ms);
    EXPECT_EQ(world.metric("opened_total"), 1) << int{flags};
  }
  EXPECT_FALSE(world.inject(Direction::kOutbound, segment(30000, kSyn, 3'000'000'000)));
  world.wait(100ms);
}

// Both ends closed at once: the client's end is over, the server's waits out TIME-WAIT.
TEST_F(SplitHostile, OnlyASynTakesThePlaceOfAClientThatIsOver) {
  world.serve();
  ASSERT_TRUE(opens(30000));
  world.client_end(30000).shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return world.server_end(30000).at_end(); }, 5s));
  world.server_end(30000).shutdown(world.reactor.now());
  world.wait(1s);
  ASSERT_EQ(world.metric("connections"), 1);
  world.client.silent = true;
  for (const std::uint8_t flags : Flags{kSyn | kAck, kSyn | TcpFlags::kRst}) {
    EXPECT_FALSE(world.inject(Direction::kOutbound, segment(30000, flags, 5'000'000, 1)));
    EXPECT_EQ(world.metric("opened_total"), 1) << int{flags};
  }
  EXPECT_FALSE(world.inject(Direction::kOutbound, segment(30000, kSyn, 5'000'000)));
  EXPECT_EQ(world.metric("opened_total"), 2);
}

TEST_F(SplitHostile, AForgedFrameDoesNotRedirectAnything) {
  const wire::MacAddress stranger({2, 0, 0, 0, 0, 0x66});
  world.serve();
  ASSERT_TRUE(opens(40000));
  std::set<wire::MacAddress> toward_client, from_client;
  world.watch = [&](Direction direction, const Packet& packet) {
    (direction == Direction::kInbound ? toward_client : from_client)
        .insert(direction == Direction::kInbound ? destination_mac(packet) : source_mac(packet));
  };
  for (const std::uint8_t flags :
       Flags{kAck, kAck | TcpFlags::kPsh, kSyn, kSyn | kAck, TcpFlags::kRst, 0}) {
    for (const std::uint32_t seq : {1U, 1'000'000'000U, 2'000'000'000U, 4'000'000'000U}) {
      EXPECT_FALSE(
          world.inject(Direction::kOutbound, segment(40000, flags, seq, 99, 10, stranger)));
      world.wait(10ms);
    }
  }
  const std::vector<std::uint8_t> octets(5000);
  EXPECT_EQ(world.server_end(40000).write(octets, world.reactor.now()), 5000U);
  world.wait(1s);
  EXPECT_EQ(world.client_end(40000).write(octets, world.reactor.now()), 5000U);
  world.wait(1s);
  EXPECT_EQ(world.client_end(40000).readable(), 5000U);
  EXPECT_EQ(world.server_end(40000).readable(), 5000U);
  EXPECT_EQ(toward_client, std::set<wire::MacAddress>{kClientMac});
  EXPECT_EQ(from_client, std::set<wire::MacAddress>{kClientMac});
}

TEST_F(SplitHostile, AClientThatMovesToAnotherMacIsFollowed) {
  const wire::MacAddress moved({2, 0, 0, 0, 0, 9});
  world.serve();
  ASSERT_TRUE(opens(40000));
  auto& connection = world.client.connections.begin()->second;
  ASSERT_EQ(connection.endpoint->write(std::vector<std::uint8_t>(5000), world.reactor.now()),
            5000U);
  world.watch = [&](Direction, const Packet&) {
    world.client.mac = connection.path.source_mac = moved;
    world.server_side(40000)->path.destination_mac = moved;  // by ARP
  };
  EXPECT_TRUE(world.run_until([&] { return connection.endpoint->all_acknowledged(); }, 10s));
  EXPECT_EQ(drain(world.server_end(40000), world.reactor.now()), 5000U);
  std::set<wire::MacAddress> sources;
  world.watch = [&](Direction direction, const Packet& packet) {
    if (direction == Direction::kOutbound) sources.insert(source_mac(packet));
  };
  world.server_end(40000).shutdown(world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return connection.endpoint->at_end(); }, 10s));
  EXPECT_EQ(sources, std::set<wire::MacAddress>{moved});
}

TEST_F(SplitHostile, AGenuineUnreachableReachesTheClientAndAForgedOneDoesNot) {
  world.server.silent = true;
  Packet error, forged;
  world.watch = [&](Direction direction, const Packet& packet) {
    if (direction != Direction::kOutbound || !is_tcp(packet) || error) return;
    error = icmp_error_for(packet, IcmpError::kHostUnreachable);
    Packet other = world.pool.clone(packet);
    const std::size_t seq = other.layout().transport_offset + 4U;
    store_be32(other.mutable_bytes(), seq, load_be32(other.bytes(), seq) + 77);
    forged = icmp_error_for(other, IcmpError::kHostUnreachable);
  };
  world.connect(40000);
  ASSERT_TRUE(world.run_until([&] { return static_cast<bool>(error); }, 5s));
  EXPECT_TRUE(world.inject(Direction::kInbound, std::move(forged)))
      << "not of VTL's making: passes";
  world.wait(10ms);
  EXPECT_EQ(world.metric("unreachable_total"), 0);
  EXPECT_EQ(world.metric("connections"), 1);
  world.client.strangers.clear();
  EXPECT_FALSE(world.inject(Direction::kInbound, std::move(error)));
  world.wait(10ms);
  EXPECT_EQ(world.metric("unreachable_total"), 1);
  EXPECT_EQ(world.metric("connections"), 0);
  ASSERT_EQ(world.client.strangers.size(), 1U) << "told of its own SYN";
  EXPECT_TRUE(is_icmp_error(world.client.strangers.front()));
}

TEST_F(SplitHostile, APathThatTakesLessIsBelievedAndTheClientDoesNotHearOfIt) {
  world.serve();
  ASSERT_TRUE(opens(40000));
  bool told = false;
  std::size_t largest = 0;
  world.watch = [&](Direction direction, const Packet& packet) {
    if (direction != Direction::kOutbound) return;
    const auto read = service::to_segment(packet);
    if (!read || read->payload.empty()) return;
    if (!told) {
      told = true;
      EXPECT_FALSE(
          world.inject(Direction::kInbound, icmp_error_for(packet, IcmpError::kPacketTooBig, 800)));
      return;
    }
    const Gso& gso = packet.meta().gso;
    largest =
        std::max<std::size_t>(largest, gso.is_super() ? gso.segment_size : read->payload.size());
  };
  EXPECT_EQ(world.client_end(40000).write(std::vector<std::uint8_t>(50'000), world.reactor.now()),
            50'000U);
  EXPECT_TRUE(world.run_until([&] { return world.server_end(40000).readable() == 50'000U; }, 20s));
  EXPECT_TRUE(told);
  EXPECT_EQ(largest, 800U - 40 - 12);
  EXPECT_TRUE(world.client.strangers.empty());
}

TEST_F(SplitHostile, NobodyButTheSplitSpeaksForAnEnd) {
  world.serve();
  ASSERT_TRUE(opens(40000));
  EXPECT_FALSE(world.inject(Direction::kInbound, segment(40000, kAck, 1, 1)));
  EXPECT_EQ(world.context.drops.value(DropReason::kNotOfConnection), 1U);
}

TEST_F(SplitHostile, TagsThatItCouldNotAnswerInKindPass) {
  world.serve();
  Packet syn = segment(40000, kSyn, 1);
  const auto tagged = [&](std::uint16_t tpid, std::uint16_t tci) {
    Packet out = world.pool.allocate(syn.size() + 4);
    const MutableBytes to = out.mutable_bytes();
    std::ranges::copy(syn.bytes().first(12), to.begin());
    store_be16(to, 12, tpid);
    store_be16(to, 14, tci);
    std::ranges::copy(syn.bytes().subspan(12), to.begin() + 16);
    out.meta().checksum.kind = ChecksumKind::kVerified;
    return out;
  };
  EXPECT_TRUE(world.inject(Direction::kOutbound, tagged(0x88a8, 7))) << "802.1ad";
  EXPECT_TRUE(world.inject(Direction::kOutbound, tagged(0x8100, 0xa000))) << "a priority tag";
  EXPECT_EQ(world.metric("opened_total"), 0);
  world.context.emitted = {};
  EXPECT_FALSE(world.inject(Direction::kOutbound, tagged(0x8100, 0xa007)));
  EXPECT_EQ(world.metric("opened_total"), 1);
  const Batch& emitted = world.context.emitted[static_cast<std::size_t>(Direction::kOutbound)];
  ASSERT_EQ(emitted.size(), 1U);
  const auto header = wire::EthernetView::parse(emitted.front().bytes());
  ASSERT_TRUE(header.has_value());
  ASSERT_EQ(header->tag_count(), 1U);
  EXPECT_EQ(header->tag(0), (wire::VlanTag{.pcp = 5, .vid = 7}));
}

TEST_F(SplitHostile, ASynWithALargePayloadPinsNoLargeBuffer) {
  world.server.silent = true;
  Packet large = segment(40000, kSyn, 1, 0, 30'000);
  large.meta().gso = {};
  EXPECT_FALSE(world.inject(Direction::kOutbound, std::move(large)));
  world.context.emitted = {};
  EXPECT_EQ(world.metric("opened_total"), 1);
  EXPECT_LE(world.pool.bytes_in_use(), 2 * kSmallFrame);
}

}  // namespace
}  // namespace vtl::test
