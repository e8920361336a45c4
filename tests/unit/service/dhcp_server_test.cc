#include "vtl/service/anonymizer/dhcp_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "tests/support/guest_frame.h"
#include "vtl/packet/access.h"
#include "vtl/wire/udp.h"

namespace vtl::service {
namespace {

using wire::DhcpFields, wire::DhcpType, wire::Ipv4Address, wire::MacAddress;

constexpr MacAddress kServerMac({2, 0, 0, 0, 0, 1});
constexpr Ipv4Address kGateway(10, 137, 0, 1), kEverybody(255, 255, 255, 255);

DhcpServerOptions options(const char* network = "10.137.0.0/24") {
  DhcpServerOptions out;
  out.network = *wire::IpNetwork::parse(network);
  out.gateway = kGateway;
  out.mac = kServerMac;
  out.mtu = 1400;
  return out;
}

MacAddress mac(std::uint32_t n) {
  return MacAddress({2, 1, static_cast<std::uint8_t>(n >> 24), static_cast<std::uint8_t>(n >> 16),
                     static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)});
}

DhcpFields from(DhcpType type, std::uint32_t client) {
  DhcpFields f;
  f.type = type;
  f.transaction = 77;
  f.hardware = mac(client);
  return f;
}

// With `options` in front of the others.
std::vector<std::uint8_t> octets(const DhcpFields& fields, std::vector<std::uint8_t> options = {}) {
  std::vector<std::uint8_t> out(fields.size());
  fields.emit(out);
  out.insert(out.begin() + wire::DhcpView::kMinSize, options.begin(), options.end());
  return out;
}

class Server {
 public:
  explicit Server(const DhcpServerOptions& o = options())
      : server_(o, [this](Ipv4Address address, std::uint16_t, Time) -> std::optional<MacAddress> {
          const auto user = users.find(address);
          return user == users.end() ? std::nullopt : std::optional(user->second);
        }) {}
  std::optional<DhcpReply> tell(const DhcpFields& fields, Ipv4Address source = {}) {
    return server_.answer(octets(fields), source, now);
  }
  std::optional<DhcpReply> tell(Bytes message) { return server_.answer(message, {}, now); }
  DhcpServer* operator->() { return &server_; }
  std::map<Ipv4Address, MacAddress> users;  ///< who uses an address, as the link has heard

  Ipv4Address discover(std::uint32_t client) {
    const auto offer = tell(from(DhcpType::kDiscover, client));
    return offer ? offer->message.yours : Ipv4Address{};
  }
  std::optional<DhcpReply> select(std::uint32_t client, Ipv4Address address,
                                  Ipv4Address server = kGateway) {
    DhcpFields f = from(DhcpType::kRequest, client);
    f.requested = address;
    f.server = server;
    return tell(f);
  }
  std::optional<DhcpReply> reboot(std::uint32_t client, Ipv4Address address) {
    DhcpFields f = from(DhcpType::kRequest, client);
    f.requested = address;
    return tell(f);
  }
  std::optional<DhcpReply> renew(std::uint32_t client, Ipv4Address address) {
    DhcpFields f = from(DhcpType::kRequest, client);
    f.client = address;
    return tell(f, address);
  }
  void release(std::uint32_t client, Ipv4Address address, Ipv4Address source) {
    DhcpFields f = from(DhcpType::kRelease, client);
    f.client = address;
    f.server = kGateway;
    EXPECT_FALSE(tell(f, source));
  }
  void decline(std::uint32_t client, Ipv4Address address) {
    DhcpFields f = from(DhcpType::kDecline, client);
    f.requested = address;
    f.server = kGateway;
    EXPECT_FALSE(tell(f));
  }
  /// Discover and request.
  Ipv4Address lease(std::uint32_t client) {
    const Ipv4Address address = discover(client);
    const auto ack = address.is_unspecified() ? std::nullopt : select(client, address);
    return ack && ack->message.type == DhcpType::kAck ? ack->message.yours : Ipv4Address{};
  }
  Time now{1h};

 private:
  DhcpServer server_;
};

DhcpType type_of(const std::optional<DhcpReply>& reply) {
  return reply ? reply->message.type : DhcpType{};
}

TEST(DhcpServer, AddressesOfStaticGuests_GivenToNobodyElse) {
  Server server;
  const Ipv4Address first(10, 137, 0, 2), second(10, 137, 0, 3), third(10, 137, 0, 4);
  server.users = {{first, mac(100)}, {second, mac(101)}};
  EXPECT_EQ(server.discover(1), third);
  EXPECT_EQ(server->counters().in_use.value(), 2U);
  DhcpFields wish = from(DhcpType::kDiscover, 2);
  wish.requested = second;
  EXPECT_NE(server.tell(wish)->message.yours, second);
  EXPECT_EQ(server.reboot(3, second)->message.type, DhcpType::kNak);
  EXPECT_EQ(server.reboot(101, second)->message.type, DhcpType::kAck) << "it uses it itself";
}

TEST(DhcpServer, WhoHadAnAddressFromHere_IsNoStranger) {
  Server server(options("10.137.0.0/30"));
  const Ipv4Address only(10, 137, 0, 2);
  ASSERT_EQ(server.discover(1), only);
  ASSERT_TRUE(server.select(1, only));
  server.users[only] = mac(1);
  EXPECT_EQ(server.renew(1, only)->message.type, DhcpType::kAck);
  DhcpFields release = from(DhcpType::kRelease, 1);
  release.client = only;
  release.server = kGateway;
  EXPECT_FALSE(server.tell(release, only));
  EXPECT_EQ(server.discover(2), only) << "it was last heard of before it was given back";
}

TEST(DhcpServer, WhoComesBackToAnAddressThatAStrangerUsesByNow_IsRefused) {
  Server server;
  const Ipv4Address first = server.discover(1);
  ASSERT_EQ(server.select(1, first)->message.type, DhcpType::kAck);
  DhcpFields release = from(DhcpType::kRelease, 1);
  release.client = first;
  release.server = kGateway;
  EXPECT_FALSE(server.tell(release, first));
  server.users[first] = mac(100);
  EXPECT_EQ(server.reboot(1, first)->message.type, DhcpType::kNak);
  EXPECT_NE(server.discover(1), first);
}

TEST(DhcpServer, WhatWasOfferedAndIsTakenMeanwhile_IsNotOfferedAgain) {
  Server server;
  const Ipv4Address offered = server.discover(1);
  server.users[offered] = mac(100);
  const Ipv4Address other = server.discover(1);
  EXPECT_NE(other, offered);
  EXPECT_EQ(server.select(1, other)->message.type, DhcpType::kAck);
}

TEST(DhcpServer, EveryAddressUsedByStrangers_NoOfferUntilOneIsFree) {
  Server server(options("10.137.0.0/25"));
  for (std::uint32_t i = 2; i < 127; ++i)
    server.users[Ipv4Address(10, 137, 0, static_cast<std::uint8_t>(i))] = mac(1000 + i);
  for (int round = 0; round < 4; ++round) EXPECT_EQ(server.discover(1), Ipv4Address{});
  EXPECT_EQ(server->counters().exhausted.value(), 4U);
  server.users.erase(Ipv4Address(10, 137, 0, 77));
  Ipv4Address got;
  for (int round = 0; round < 3 && got.is_unspecified(); ++round) got = server.discover(1);
  EXPECT_EQ(got, Ipv4Address(10, 137, 0, 77));
}

TEST(DhcpServer, DiscoverOfferRequestAck) {
  Server server;
  const auto offer = server.tell(from(DhcpType::kDiscover, 1));
  ASSERT_TRUE(offer);
  DhcpFields expected;
  expected.reply = true;
  expected.type = DhcpType::kOffer;
  expected.transaction = 77;
  expected.hardware = mac(1);
  expected.yours = Ipv4Address(10, 137, 0, 2);
  expected.server = expected.router = expected.dns = kGateway;
  expected.mask = Ipv4Address(255, 255, 255, 0);
  expected.mtu = 1400;
  expected.lease_seconds = 3600;
  expected.renewal_seconds = 1800;
  expected.rebinding_seconds = 3150;
  EXPECT_EQ(offer->message, expected);
  EXPECT_EQ(offer->address, expected.yours);
  EXPECT_EQ(offer->mac, mac(1));
  const auto ack = server.select(1, offer->message.yours);
  expected.type = DhcpType::kAck;
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->message, expected);
  EXPECT_EQ(server->counters().offers.value(), 1U);
  EXPECT_EQ(server->counters().acks.value(), 1U);
  EXPECT_EQ(server->counters().leased.value(), 1U);
}

TEST(DhcpServer, WhereTheAnswerGoes) {
  Server server;
  DhcpFields f = from(DhcpType::kDiscover, 1);
  f.broadcast = true;
  auto reply = server.tell(f);
  EXPECT_EQ(reply->address, kEverybody);
  EXPECT_EQ(reply->mac, MacAddress::broadcast());
  EXPECT_TRUE(reply->message.broadcast);
  const Ipv4Address address = server.lease(1);
  reply = server.renew(1, address);
  EXPECT_EQ(reply->address, address) << "a renewal is answered to the address that it came from";
  EXPECT_EQ(reply->mac, mac(1));
  EXPECT_EQ(reply->message.client, address);
  reply = server.select(2, address);
  EXPECT_EQ(type_of(reply), DhcpType::kNak);
  EXPECT_EQ(reply->address, kEverybody);
  EXPECT_EQ(reply->mac, MacAddress::broadcast());
  EXPECT_TRUE(reply->message.yours.is_unspecified());
  EXPECT_FALSE(reply->message.lease_seconds || reply->message.router);
}

TEST(DhcpServer, SameClientSameAddress) {
  Server server;
  const Ipv4Address first = server.lease(1), second = server.lease(2);
  EXPECT_NE(first, second);
  EXPECT_EQ(server.lease(1), first);
  server.now += 2h;
  EXPECT_EQ(server.lease(3), Ipv4Address(10, 137, 0, 4))
      << "an untouched one before an expired one";
  EXPECT_EQ(server.lease(2), second) << "expired, and still its";
  EXPECT_EQ(server.lease(1), first);
  server.release(1, first, first);
  EXPECT_EQ(server->counters().releases.value(), 1U);
  EXPECT_EQ(server.lease(1), first);
}

TEST(DhcpServer, ClientIdentifier_GoesBeforeTheHardwareAddress) {
  Server server;
  const std::vector<std::uint8_t> id = {61, 3, 0xff, 1, 2}, other = {61, 3, 0xff, 1, 3};
  const auto first = server.tell(octets(from(DhcpType::kDiscover, 1), id));
  const auto moved = server.tell(octets(from(DhcpType::kDiscover, 2), id));
  const auto second = server.tell(octets(from(DhcpType::kDiscover, 1), other));
  const auto none = server.tell(octets(from(DhcpType::kDiscover, 1)));
  const auto empty = server.tell(octets(from(DhcpType::kDiscover, 1), {61, 0}));
  ASSERT_TRUE(first && moved && second && none && empty);
  EXPECT_EQ(first->message.yours, moved->message.yours);
  EXPECT_NE(first->message.yours, second->message.yours);
  EXPECT_NE(first->message.yours, none->message.yours);
  EXPECT_EQ(none->message.yours, empty->message.yours);
}

TEST(DhcpServer, WantedAddress_IfItIsFree) {
  Server server;
  DhcpFields f = from(DhcpType::kDiscover, 1);
  f.requested = Ipv4Address(10, 137, 0, 77);
  EXPECT_EQ(server.tell(f)->message.yours, *f.requested);
  f = from(DhcpType::kDiscover, 2);
  for (const auto wanted : {Ipv4Address(10, 137, 0, 77), kGateway, Ipv4Address(10, 137, 0, 0),
                            Ipv4Address(10, 137, 0, 255), Ipv4Address(10, 138, 0, 7), kEverybody}) {
    f.requested = wanted;
    f.hardware = mac(100 + wanted.value());
    const auto offer = server.tell(f);
    ASSERT_TRUE(offer);
    EXPECT_NE(offer->message.yours, wanted);
    EXPECT_TRUE(options().network.contains(offer->message.yours));
  }
}

TEST(DhcpServer, Request_OfWhatItMayNotHave_Nak) {
  Server server;
  const Ipv4Address mine = server.lease(1);
  EXPECT_EQ(type_of(server.select(2, Ipv4Address(10, 137, 0, 99))), DhcpType::kNak)
      << "never offered";
  EXPECT_EQ(type_of(server.select(1, Ipv4Address(10, 137, 0, 99))), DhcpType::kNak);
  EXPECT_EQ(type_of(server.reboot(2, mine)), DhcpType::kNak) << "somebody else's";
  EXPECT_EQ(type_of(server.reboot(1, Ipv4Address(10, 137, 0, 99))), DhcpType::kNak)
      << "it has another";
  EXPECT_EQ(type_of(server.reboot(3, Ipv4Address(192, 168, 1, 2))), DhcpType::kNak)
      << "of another network";
  EXPECT_EQ(type_of(server.renew(3, kGateway)), DhcpType::kNak);
  EXPECT_EQ(type_of(server.renew(1, mine)), DhcpType::kAck);
  EXPECT_EQ(server->counters().naks.value(), 6U);
  EXPECT_FALSE(server.tell(from(DhcpType::kRequest, 1))) << "of no address";
}

TEST(DhcpServer, StartedAnew_ClientsKeepTheirAddresses) {
  Server server;
  const Ipv4Address address(10, 137, 0, 50);
  EXPECT_EQ(type_of(server.renew(1, address)), DhcpType::kAck);
  EXPECT_EQ(type_of(server.reboot(2, address)), DhcpType::kNak);
  EXPECT_EQ(type_of(server.reboot(3, Ipv4Address(10, 137, 0, 51))), DhcpType::kAck);
  EXPECT_EQ(server.lease(1), address);
}

TEST(DhcpServer, AnotherServerChosen_OfferIsFreeAgain) {
  Server server(options("10.137.0.0/30"));
  const Ipv4Address only = server.discover(1);
  EXPECT_FALSE(only.is_unspecified());
  EXPECT_TRUE(server.discover(2).is_unspecified());
  EXPECT_FALSE(server.select(1, only, Ipv4Address(10, 137, 0, 3)));
  EXPECT_EQ(server.discover(2), only);
}

TEST(DhcpServer, Exhausted_SilentUntilSomethingIsFree) {
  Server server(options("10.137.0.0/29"));
  std::set<Ipv4Address> given;
  for (std::uint32_t i = 0; i < 5; ++i) given.insert(server.lease(i));
  EXPECT_EQ(given.size(), 5U);
  EXPECT_FALSE(given.contains(Ipv4Address{}));
  EXPECT_TRUE(server.discover(9).is_unspecified());
  EXPECT_EQ(server->counters().exhausted.value(), 1U);
  server.now += 30min;
  for (std::uint32_t i = 1; i < 5; ++i) server.lease(i);
  server.now += 30min;
  const Ipv4Address freed = server.discover(9);
  EXPECT_FALSE(freed.is_unspecified()) << "the lease that was not renewed";
  EXPECT_EQ(type_of(server.renew(0, freed)), DhcpType::kNak);
}

TEST(DhcpServer, ThousandsOfClients_LeasesHoldAndOffersPass) {
  Server server;
  const Ipv4Address mine = server.lease(1);
  for (std::uint32_t i = 1000; i < 6000; ++i) (void)server.discover(i);
  EXPECT_EQ(type_of(server.renew(1, mine)), DhcpType::kAck);
  EXPECT_TRUE(server.discover(2).is_unspecified());
  EXPECT_GT(server->counters().exhausted.value(), 4000U);
  server.now += DhcpServer::kOffer;
  EXPECT_FALSE(server.lease(2).is_unspecified());
}

TEST(DhcpServer, MaxLeases_BoundsALargeNetwork) {
  DhcpServerOptions o = options("10.0.0.0/8");
  o.max_leases = 10;
  Server server(o);
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_FALSE(server.lease(i).is_unspecified());
  EXPECT_TRUE(server.lease(10).is_unspecified());
  EXPECT_EQ(type_of(server.renew(11, Ipv4Address(10, 5, 5, 5))), DhcpType::kNak);
}

TEST(DhcpServer, Declined_SetAsideAndTheLastToBeGiven) {
  Server server(options("10.137.0.0/29"));
  const Ipv4Address bad = server.lease(1);
  server.decline(2, bad);
  EXPECT_EQ(server->counters().declines.value(), 0U) << "not its own";
  server.decline(1, bad);
  EXPECT_EQ(server->counters().declines.value(), 1U);
  EXPECT_EQ(type_of(server.renew(1, bad)), DhcpType::kNak);
  for (std::uint32_t i = 1; i < 5; ++i) EXPECT_NE(server.lease(i), bad);
  EXPECT_EQ(server.lease(5), bad) << "nothing else is left";
  server.decline(5, bad);
  server.release(1, Ipv4Address(10, 137, 0, 3), Ipv4Address(10, 137, 0, 3));
  server.now += DhcpServer::kDeclined;
  EXPECT_EQ(type_of(server.reboot(7, bad)), DhcpType::kAck);
}

TEST(DhcpServer, Release_MustMatch) {
  Server server;
  const Ipv4Address mine = server.lease(1), other = server.lease(2);
  server.release(2, mine, mine);
  server.release(1, other, other);
  server.release(1, mine, other);
  server.release(1, mine, Ipv4Address{});
  DhcpFields f = from(DhcpType::kRelease, 1);
  f.client = mine;
  EXPECT_FALSE(server.tell(f, mine)) << "to no server";
  EXPECT_EQ(server->counters().releases.value(), 0U);
  EXPECT_EQ(server->counters().ignored.value(), 5U);
  EXPECT_EQ(server->counters().leased.value(), 2U);
}

TEST(DhcpServer, Inform_AllButAnAddress) {
  Server server;
  DhcpFields f = from(DhcpType::kInform, 1);
  f.client = Ipv4Address(10, 137, 0, 200);
  const auto ack = server.tell(f, f.client);
  ASSERT_EQ(type_of(ack), DhcpType::kAck);
  EXPECT_EQ(ack->message.dns, kGateway);
  EXPECT_EQ(ack->message.mtu, 1400);
  EXPECT_TRUE(ack->message.yours.is_unspecified());
  EXPECT_FALSE(ack->message.lease_seconds);
  EXPECT_EQ(ack->address, f.client);
  f.client = Ipv4Address(10, 1, 1, 1);
  EXPECT_FALSE(server.tell(f, f.client));
  EXPECT_EQ(server->counters().leased.value(), 0U);
}

TEST(DhcpServer, NotForUs_Ignored) {
  Server server;
  DhcpFields relayed = from(DhcpType::kDiscover, 1);
  relayed.relay = Ipv4Address(10, 0, 0, 1);
  DhcpFields reply = from(DhcpType::kDiscover, 1);
  reply.reply = true;
  DhcpFields group = from(DhcpType::kDiscover, 1);
  group.hardware = MacAddress::broadcast();
  DhcpFields nobody = from(DhcpType::kDiscover, 1);
  nobody.hardware = {};
  for (const DhcpFields& f : {relayed, reply, group, nobody, from(DhcpType::kOffer, 1),
                              from(DhcpType::kAck, 1), from(DhcpType::kNak, 1)}) {
    EXPECT_FALSE(server.tell(f));
  }
  const auto whole = octets(from(DhcpType::kDiscover, 1));
  for (std::size_t size = 0; size < 243; ++size)
    EXPECT_FALSE(server.tell(Bytes(whole).first(size)));
  EXPECT_EQ(server->counters().ignored.value(), 250U);
}

TEST(DhcpServer, Options_InAnyOrder) {
  Server server;
  DhcpFields f = from(DhcpType::kDiscover, 1);
  const std::vector<std::uint8_t> front = {0,   50, 4, 10, 137, 0, 9,  57, 2,   5,
                                           220, 55, 3, 1,  3,   6, 12, 1,  'x', 0};
  EXPECT_EQ(server.tell(octets(f, front))->message.yours, Ipv4Address(10, 137, 0, 9));
}

class Frames : public ::testing::Test {
 protected:
  Packet frame(Bytes message, Ipv4Address to = kEverybody, std::vector<std::uint16_t> vlans = {}) {
    return test::udp_frame(pool_, {.vlans = std::move(vlans), .pcp = 3},
                           {Ipv4Address{}, wire::kDhcpClientPort}, {to, wire::kDhcpServerPort},
                           message);
  }
  PacketPool pool_;
  DhcpServer server_{options()};
};

using DhcpServerFrames = Frames;

TEST_F(DhcpServerFrames, AnswerIsAWholeFrameInTheSameVlan) {
  for (const auto& vlans : {std::vector<std::uint16_t>{}, {5}, {5, 7}}) {
    const Packet request = frame(octets(from(DhcpType::kDiscover, 1)), kEverybody, vlans);
    ASSERT_TRUE(server_.is_for(request));
    const Packet reply = server_.answer(request, Time{1h});
    ASSERT_TRUE(reply);
    EXPECT_TRUE(verify_checksums(reply));
    EXPECT_FALSE(is_malformed(reply));
    EXPECT_EQ(source_mac(reply), kServerMac);
    EXPECT_EQ(destination_mac(reply), mac(1));
    EXPECT_EQ(source_address(reply), wire::IpAddress(kGateway));
    EXPECT_EQ(destination_address(reply), wire::IpAddress(Ipv4Address(10, 137, 0, 2)));
    EXPECT_EQ(source_port(reply), wire::kDhcpServerPort);
    EXPECT_EQ(destination_port(reply), wire::kDhcpClientPort);
    EXPECT_EQ(reply.layout().network_offset, request.layout().network_offset);
    EXPECT_TRUE(std::ranges::equal(reply.bytes().subspan(12, 2 + 4 * vlans.size()),
                                   request.bytes().subspan(12, 2 + 4 * vlans.size())));
    const auto view = wire::DhcpView::parse(payload(reply));
    ASSERT_TRUE(view);
    EXPECT_EQ(view->fields().type, DhcpType::kOffer);
  }
}

TEST_F(DhcpServerFrames, ForUs_WhatIsToUsOrToEverybody) {
  const auto message = octets(from(DhcpType::kDiscover, 1));
  EXPECT_TRUE(server_.is_for(frame(message, kGateway)));
  EXPECT_TRUE(server_.is_for(frame(message, Ipv4Address(10, 137, 0, 255))));
  EXPECT_FALSE(server_.is_for(frame(message, Ipv4Address(192, 0, 2, 1))));
  Packet other = frame(message);
  set_destination_port(other, wire::Port(68));
  EXPECT_FALSE(server_.is_for(other));
}

TEST_F(DhcpServerFrames, ClientIdentifier_ComesBack) {
  for (const std::size_t size : {1, 7, 255}) {
    std::vector<std::uint8_t> id = {61, static_cast<std::uint8_t>(size)};
    for (std::size_t i = 0; i < size; ++i) id.push_back(static_cast<std::uint8_t>(i));
    const Packet reply = server_.answer(frame(octets(from(DhcpType::kDiscover, 1), id)), Time{1h});
    ASSERT_TRUE(reply);
    EXPECT_TRUE(verify_checksums(reply));
    const auto view = wire::DhcpView::parse(payload(reply));
    ASSERT_TRUE(view);
    const auto back = view->option(wire::DhcpOption::kClientId);
    ASSERT_TRUE(back);
    EXPECT_TRUE(std::ranges::equal(*back, Bytes(id).subspan(2)));
    EXPECT_EQ(view->fields().router, kGateway);
    EXPECT_EQ(view->fields().mtu, 1400);
  }
  const Packet plain = server_.answer(frame(octets(from(DhcpType::kDiscover, 1))), Time{1h});
  EXPECT_FALSE(wire::DhcpView::parse(payload(plain))->option(wire::DhcpOption::kClientId));
}

TEST_F(DhcpServerFrames, WrongChecksum_Ignored) {
  Packet request = frame(octets(from(DhcpType::kDiscover, 1)));
  request.mutable_bytes()[60] ^= 1;
  EXPECT_FALSE(server_.answer(request, Time{1h}));
  EXPECT_EQ(server_.counters().ignored.value(), 1U);
}

TEST_F(DhcpServerFrames, NoBuffer_NoAnswer) {
  Packet request =
      test::udp_frame(pool_, {}, {Ipv4Address{}, wire::kDhcpClientPort},
                      {kEverybody, wire::kDhcpServerPort}, octets(from(DhcpType::kDiscover, 1)));
  PacketPool small({.max_bytes = 8192});
  std::vector<Packet> all;
  Packet copy = small.copy_of(request.bytes());
  ASSERT_TRUE(copy);
  while (Packet more = small.allocate(100)) all.push_back(std::move(more));
  EXPECT_FALSE(server_.answer(copy, Time{1h}));
}

// Clients that do anything: nobody is given what somebody else holds, and nothing outside the
// network.
RC_GTEST_PROP(DhcpServerProperty, NoAddressTwice, ()) {
  Server server(options(*rc::gen::element("10.137.0.0/29", "10.137.0.0/28")));
  struct Held {
    std::uint32_t client;
    Time until;
  };
  std::map<Ipv4Address, Held> held;
  const auto steps = *rc::gen::inRange(1, 150);
  for (int i = 0; i < steps; ++i) {
    server.now +=
        *rc::gen::element(Duration{0}, Duration{1s}, Duration{10s}, Duration{20min}, Duration{2h});
    const auto client = *rc::gen::inRange<std::uint32_t>(0, 12);
    const Ipv4Address address(kGateway.value() - 1 + *rc::gen::inRange<std::uint32_t>(0, 17));
    std::optional<DhcpReply> reply;
    switch (*rc::gen::inRange(0, 7)) {
      case 0:
        reply = server.reboot(client, address);
        break;
      case 1:
        reply = server.renew(client, address);
        break;
      case 2:
        if (const auto it = held.find(address); it != held.end() && it->second.client == client)
          held.erase(it);
        server.release(client, address, address);
        break;
      case 3:
        if (const auto it = held.find(address); it != held.end() && it->second.client == client)
          held.erase(it);
        server.decline(client, address);
        break;
      case 4:
        reply = server.select(client, address);
        break;
      default:
        if (const Ipv4Address offered = server.discover(client); !offered.is_unspecified()) {
          reply = server.select(client, offered);
          RC_ASSERT(type_of(reply) == DhcpType::kAck);
        }
    }
    if (type_of(reply) != DhcpType::kAck) continue;
    const Ipv4Address got = reply->message.yours;
    RC_ASSERT(server->options().network.contains(got));
    RC_ASSERT(got != kGateway);
    const auto it = held.find(got);
    const bool is_anothers =
        it != held.end() && it->second.client != client && it->second.until > server.now;
    RC_ASSERT(!is_anothers);
    std::erase_if(held, [&](const auto& entry) { return entry.second.client == client; });
    held[got] = {client, server.now + 1h};
  }
}

}  // namespace
}  // namespace vtl::service
