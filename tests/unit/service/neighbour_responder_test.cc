#include "vtl/service/anonymizer/neighbour_responder.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/support/guest_frame.h"
#include "vtl/packet/access.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/icmpv6.h"

namespace vtl::service {
namespace {

using test::GuestFrame, test::kGuestMac;
using wire::ArpFields, wire::ArpOperation, wire::IpAddress, wire::Ipv4Address, wire::Ipv6Address,
    wire::MacAddress;

constexpr MacAddress kOurs({2, 0, 0, 0, 0, 1}), kOther({2, 0, 0, 0, 0, 0x22});
constexpr Ipv4Address kGateway(10, 137, 0, 1), kGuest(10, 137, 0, 2), kPool(198, 18, 0, 7);

Ipv6Address six(const char* text) {
  return *Ipv6Address::parse(text);
}

NeighbourOptions options(bool ipv6 = true) {
  NeighbourOptions out;
  out.mac = kOurs;
  out.gateway = kGateway;
  out.ours = {*wire::IpNetwork::parse("198.18.0.0/15"), *wire::IpNetwork::parse("fd5a:2::/96")};
  out.mtu = 1400;
  if (ipv6)
    out.ipv6 =
        Ipv6Router{.prefix = *wire::IpNetwork::parse("fd5a:1::/64"), .resolver = six("fd5a:1::1")};
  return out;
}

class NeighbourTest : public ::testing::Test {
 protected:
  Packet arp(ArpOperation operation, Ipv4Address sender, Ipv4Address target,
             const GuestFrame& frame = {}, std::optional<MacAddress> mac = std::nullopt) {
    const ArpFields fields{operation, mac.value_or(frame.source), sender, {}, target};
    std::vector<std::uint8_t> message(fields.size());
    fields.emit(message);
    message.resize(46);  // Ethernet padding
    return test::ethernet_frame(pool_, frame, wire::EtherType::kArp, message);
  }
  /// Who has `target`?
  Packet ask(Ipv4Address sender, Ipv4Address target, const GuestFrame& frame = {}) {
    const Packet question = arp(ArpOperation::kRequest, sender, target, frame);
    EXPECT_TRUE(responder_.is_for(question));
    return responder_.answer(question, now_);
  }
  template <class Fields>
  Packet ndp(const Fields& fields, Ipv6Address source, Ipv6Address destination,
             GuestFrame frame = {.hop_limit = 255}) {
    std::vector<std::uint8_t> message(fields.size());
    fields.emit(message);
    return test::ip_frame(pool_, frame, source, destination, wire::IpProtocol::kIcmpv6, message);
  }
  Packet solicit(Ipv6Address source, Ipv6Address target, GuestFrame frame = {.hop_limit = 255}) {
    wire::NeighbourFields fields;
    fields.target = target;
    if (!source.is_unspecified()) fields.link_address = frame.source;
    std::array<std::uint8_t, 16> group = six("ff02::1:ff00:0").octets();
    std::copy_n(target.octets().begin() + 13, 3, group.begin() + 13);
    return responder_.answer(ndp(fields, source, Ipv6Address(group), frame), now_);
  }
  Packet router_solicitation(Ipv6Address source, GuestFrame frame = {.hop_limit = 255}) {
    struct Solicitation {
      [[nodiscard]] std::size_t size() const { return 8; }
      void emit(MutableBytes out) const {
        std::ranges::fill(out, std::uint8_t{0});
        out[0] = 133;
      }
    };
    return ndp(Solicitation{}, source, six("ff02::2"), frame);
  }
  static wire::NeighbourFields neighbour(const Packet& packet) {
    const auto view = wire::NeighbourView::parse(packet.bytes().subspan(
        packet.layout().transport_offset, packet.layout().end - packet.layout().transport_offset));
    return view ? view->fields() : wire::NeighbourFields{};
  }
  static wire::RouterAdvertisementFields advertisement(const Packet& packet) {
    const auto view = wire::RouterAdvertisementView::parse(packet.bytes().subspan(
        packet.layout().transport_offset, packet.layout().end - packet.layout().transport_offset));
    return view ? view->fields() : wire::RouterAdvertisementFields{};
  }

  PacketPool pool_;
  Rng rng_{1};
  NeighbourResponder responder_{options(), rng_};
  Time now_{1h};
};

using ArpResponder = NeighbourTest;
using NdpResponder = NeighbourTest;

TEST_F(ArpResponder, AnyAddress_IsAtOurs) {
  for (const auto target : {kGateway, kPool, Ipv4Address(8, 8, 8, 8), Ipv4Address(10, 137, 0, 77),
                            Ipv4Address(169, 254, 169, 254)}) {
    for (const auto& vlans : {std::vector<std::uint16_t>{}, {5}, {5, 7}}) {
      const Packet answer = ask(kGuest, target, {.vlans = vlans, .pcp = 3});
      ASSERT_TRUE(answer);
      EXPECT_EQ(source_mac(answer), kOurs);
      EXPECT_EQ(destination_mac(answer), kGuestMac);
      EXPECT_EQ(answer.layout().vlan_tags, vlans.size());
      EXPECT_EQ(answer.layout().vlan, vlans.empty() ? 0 : vlans[0]);
      const auto view =
          wire::ArpView::parse(answer.bytes().subspan(answer.layout().network_offset));
      ASSERT_TRUE(view);
      EXPECT_EQ(view->fields(),
                (ArpFields{ArpOperation::kReply, kOurs, target, kGuestMac, kGuest}));
    }
  }
  EXPECT_EQ(responder_.counters().answered.value(), 15U);
}

TEST_F(ArpResponder, NoHostsAddress_NoAnswer) {
  for (const auto target : {Ipv4Address{}, Ipv4Address(0, 1, 2, 3), Ipv4Address(127, 0, 0, 1),
                            Ipv4Address(224, 0, 0, 1), Ipv4Address(255, 255, 255, 255)}) {
    EXPECT_FALSE(ask(kGuest, target));
  }
  EXPECT_FALSE(responder_.answer(arp(ArpOperation::kReply, kGuest, kGateway), now_));
  EXPECT_FALSE(responder_.answer(
      arp(ArpOperation::kRequest, kGuest, kGateway, {}, MacAddress::broadcast()), now_));
  EXPECT_FALSE(ask(kGuest, kGateway, {.source = MacAddress::broadcast()}));
  EXPECT_EQ(responder_.counters().ignored.value(), 8U);
}

TEST_F(ArpResponder, ProbeOrAnnouncement_ItMayHaveItUnlessItIsOurs) {
  EXPECT_FALSE(ask({}, kGuest)) << "probe";
  EXPECT_FALSE(ask(kGuest, kGuest)) << "announcement";
  EXPECT_EQ(responder_.counters().left_to_guest.value(), 2U);
  for (const auto target : {kGateway, kPool}) {
    EXPECT_TRUE(ask({}, target));
    EXPECT_TRUE(ask(target, target));
  }
  EXPECT_EQ(responder_.counters().defended.value(), 4U);
}

TEST_F(ArpResponder, AddressOfAGuest_LeftToItWhileItIsHeardOf) {
  EXPECT_TRUE(ask(Ipv4Address(10, 137, 0, 3), kGateway, {.source = kOther}));
  EXPECT_FALSE(ask(kGuest, Ipv4Address(10, 137, 0, 3)));
  EXPECT_TRUE(ask(kGuest, Ipv4Address(10, 137, 0, 3), {.vlans = {5}})) << "another VLAN";
  now_ += NeighbourResponder::kInUse - 1ns;
  EXPECT_FALSE(ask(kGuest, Ipv4Address(10, 137, 0, 3)));
  now_ += 1ns;
  EXPECT_TRUE(ask(kGuest, Ipv4Address(10, 137, 0, 3))) << "asking for it does not make it used";
}

TEST_F(ArpResponder, GuestThatClaimsOurAddress_IsNotBelieved) {
  (void)ask(kGateway, kGuest, {.source = kOther});
  (void)responder_.answer(arp(ArpOperation::kReply, kPool, kPool), now_);
  EXPECT_TRUE(ask(kGuest, kGateway));
  EXPECT_TRUE(ask(kGuest, kPool));
}

TEST_F(ArpResponder, ThousandsOfAddresses_Bounded) {
  for (std::uint32_t i = 0; i < 20000; ++i) (void)ask(Ipv4Address(0x0a000000 + i), kGateway);
  unsigned known = 0;
  for (std::uint32_t i = 0; i < 20000; ++i)
    known += ask(kGateway, Ipv4Address(0x0a000000 + i)) ? 0 : 1;
  EXPECT_LE(known, NeighbourResponder::kMaxInUse);
  EXPECT_GT(known, 0U);
}

TEST_F(NdpResponder, AnyAddress_IsAtOurs) {
  const Ipv6Address guest = six("fd5a:1::5");
  for (const char* target :
       {"fe80::1", "fd5a:1::1", "fd5a:2::7", "2606:4700::1111", "fd5a:1::99"}) {
    const Packet answer = solicit(guest, six(target), {.vlans = {5}, .pcp = 3, .hop_limit = 255});
    ASSERT_TRUE(answer) << target;
    EXPECT_TRUE(verify_checksums(answer));
    EXPECT_EQ(hop_limit(answer), 255);
    EXPECT_EQ(source_mac(answer), kOurs);
    EXPECT_EQ(destination_mac(answer), kGuestMac);
    EXPECT_EQ(answer.layout().vlan, 5);
    EXPECT_EQ(load_be16(answer.bytes(), 14), 3U << 13 | 5);
    EXPECT_EQ(destination_address(answer), IpAddress(guest));
    EXPECT_EQ(source_address(answer), IpAddress(six(target)));
    const bool ours = responder_.is_ours(six(target));
    EXPECT_EQ(neighbour(answer), (wire::NeighbourFields{.advertisement = true,
                                                        .router = true,
                                                        .solicited = true,
                                                        .override_ = ours,
                                                        .target = six(target),
                                                        .link_address = kOurs}));
  }
  EXPECT_FALSE(solicit(guest, six("fe80::77"))) << "somebody else's link-local address";
  EXPECT_FALSE(solicit(guest, six("ff02::1")));
  EXPECT_FALSE(solicit(guest, {}));
}

TEST_F(NdpResponder, DuplicateAddressDetection_ItMayHaveItUnlessItIsOurs) {
  EXPECT_FALSE(solicit({}, six("fd5a:1::5")));
  EXPECT_FALSE(solicit({}, six("fe80::5")));
  EXPECT_EQ(responder_.counters().left_to_guest.value(), 2U);
  for (const char* target : {"fe80::1", "fd5a:1::1", "fd5a:2::7"}) {
    const Packet answer = solicit({}, six(target));
    ASSERT_TRUE(answer);
    EXPECT_EQ(destination_address(answer), IpAddress(six("ff02::1")));
    EXPECT_EQ(destination_mac(answer), MacAddress({0x33, 0x33, 0, 0, 0, 1}));
    EXPECT_FALSE(neighbour(answer).solicited);
    EXPECT_TRUE(neighbour(answer).override_);
  }
  EXPECT_EQ(responder_.counters().defended.value(), 3U);
}

TEST_F(NdpResponder, AddressOfAGuest_LeftToItWhileItIsHeardOf) {
  (void)solicit(six("fd5a:1::5"), six("fe80::1"), {.source = kOther, .hop_limit = 255});
  wire::NeighbourFields unasked;
  unasked.advertisement = true;
  unasked.target = six("fd5a:1::6");
  EXPECT_FALSE(responder_.answer(ndp(unasked, six("fe80::6"), six("ff02::1")), now_));
  for (const char* target : {"fd5a:1::5", "fd5a:1::6"})
    EXPECT_FALSE(solicit(six("fd5a:1::9"), six(target)));
  now_ += NeighbourResponder::kInUse;
  for (const char* target : {"fd5a:1::5", "fd5a:1::6"})
    EXPECT_TRUE(solicit(six("fd5a:1::9"), six(target)));
}

TEST_F(NdpResponder, NotByTheRules_Ignored) {
  const Ipv6Address guest = six("fd5a:1::5");
  EXPECT_FALSE(solicit(guest, six("fe80::1"), {.hop_limit = 254}));
  EXPECT_FALSE(responder_.answer(router_solicitation(guest, {.hop_limit = 64}), now_));
  wire::NeighbourFields detection;  // from nobody with a link address, or to no solicited node
  detection.target = six("fe80::1");
  EXPECT_FALSE(responder_.answer(ndp(detection, {}, six("ff02::1")), now_));
  detection.link_address = kGuestMac;
  EXPECT_FALSE(responder_.answer(ndp(detection, {}, six("ff02::1:ff00:1")), now_));
  Packet broken = ndp(detection, guest, six("fe80::1"));
  broken.mutable_bytes()[broken.size() - 1] ^= 1;
  EXPECT_FALSE(responder_.answer(broken, now_));
  EXPECT_FALSE(solicit(six("ff02::5"), six("fe80::1")));
  EXPECT_EQ(responder_.counters().ignored.value(), 6U);
}

TEST_F(NdpResponder, RouterSolicitation_AdvertisementAtOnce) {
  for (const char* source : {"fe80::5", "::"}) {
    const Packet answer = responder_.answer(router_solicitation(six(source)), now_);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(verify_checksums(answer));
    EXPECT_EQ(hop_limit(answer), 255);
    EXPECT_EQ(source_address(answer), IpAddress(six("fe80::1")));
    const bool nobody = six(source).is_unspecified();
    EXPECT_EQ(destination_address(answer), IpAddress(six(nobody ? "ff02::1" : source)));
    EXPECT_EQ(destination_mac(answer), nobody ? MacAddress({0x33, 0x33, 0, 0, 0, 1}) : kGuestMac);
    const auto fields = advertisement(answer);
    EXPECT_EQ(fields.lifetime_seconds, 1800);
    EXPECT_EQ(fields.hop_limit, 64);
    EXPECT_FALSE(fields.managed || fields.other);
    EXPECT_EQ(fields.mtu, 1400U);
    EXPECT_EQ(fields.source_link_address, kOurs);
    EXPECT_EQ(fields.dns, six("fd5a:1::1"));
    EXPECT_EQ(fields.dns_seconds, 1800U);
    ASSERT_TRUE(fields.prefix);
    EXPECT_EQ(fields.prefix->prefix, six("fd5a:1::"));
    EXPECT_EQ(fields.prefix->length, 64);
    EXPECT_TRUE(fields.prefix->on_link && fields.prefix->autonomous);
    EXPECT_LE(fields.prefix->preferred_seconds, fields.prefix->valid_seconds);
  }
}

TEST_F(NdpResponder, UnaskedAdvertisements_ByRfc4861) {
  std::vector<Packet> sent;
  const auto dispatch = [&] {
    responder_.dispatch(pool_, now_, [&](Packet p) { sent.push_back(std::move(p)); });
  };
  EXPECT_LE(responder_.poll_at(), now_);
  dispatch();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(destination_address(sent[0]), IpAddress(six("ff02::1")));
  EXPECT_TRUE(verify_checksums(sent[0]));
  dispatch();
  EXPECT_EQ(sent.size(), 1U) << "not before its time";
  for (int i = 0; i < 20; ++i) {
    const Duration wait = responder_.poll_at() - now_;
    if (i < 3) {
      EXPECT_LE(wait, 16s);
    } else {
      EXPECT_GE(wait, 200s);
      EXPECT_LE(wait, 600s);
    }
    now_ += wait - 1ns;
    dispatch();
    now_ += 1ns;
    dispatch();
    EXPECT_EQ(sent.size(), static_cast<std::size_t>(i + 2));
  }
}

TEST_F(NdpResponder, UnaskedAdvertisements_IntoTheVlansThatAreKnown) {
  for (std::uint16_t vlan = 1; vlan <= 40; ++vlan) {
    for (int i = 0; i < 2; ++i)
      (void)responder_.answer(
          router_solicitation(six("fe80::5"), {.vlans = {vlan}, .hop_limit = 255}), now_);
  }
  std::vector<std::uint16_t> vlans;
  responder_.dispatch(pool_, now_, [&](Packet p) {
    EXPECT_TRUE(verify_checksums(p));
    vlans.push_back(p.layout().vlan);
  });
  ASSERT_EQ(vlans.size(), NeighbourResponder::kMaxVlans);
  for (std::uint16_t i = 0; i < vlans.size(); ++i) EXPECT_EQ(vlans[i], i);
}

TEST_F(NdpResponder, Ipv6Off_NothingOfIt) {
  NeighbourResponder off(options(false), rng_);
  EXPECT_FALSE(off.is_for(router_solicitation(six("fe80::5"))));
  EXPECT_EQ(off.poll_at(), kNever);
  off.dispatch(pool_, now_, [](Packet) { FAIL(); });
  EXPECT_TRUE(off.is_for(arp(ArpOperation::kRequest, kGuest, kGateway)));
}

TEST_F(NdpResponder, NoBuffer_NoAnswerAndTheNextAdvertisementIsTriedLater) {
  PacketPool small({.max_bytes = 8192});
  const Packet asked = router_solicitation(six("fe80::5"));
  const Packet question = small.copy_of(asked.bytes());
  const Packet arp_asked = arp(ArpOperation::kRequest, kGuest, kGateway);
  const Packet arp_question = small.copy_of(arp_asked.bytes());
  ASSERT_TRUE(question && arp_question);
  std::vector<Packet> rest;
  while (Packet more = small.allocate(64)) rest.push_back(std::move(more));
  EXPECT_FALSE(responder_.answer(question, now_));
  EXPECT_FALSE(responder_.answer(arp_question, now_));
  responder_.dispatch(small, now_, [](Packet) { FAIL(); });
  EXPECT_GT(responder_.poll_at(), now_);
  EXPECT_EQ(responder_.counters().advertised.value(), 0U);
}

// Whatever a guest's frame holds, the answer is whole, ours, and back to the guest or to all.
RC_GTEST_PROP(NeighbourResponderProperty, AnyMessage_AWholeAnswerOrNone,
              (std::vector<std::uint8_t> octets)) {
  PacketPool pool;
  Rng rng(1);
  NeighbourResponder responder(options(), rng);
  octets.resize(std::max<std::size_t>(octets.size(), 28));
  Packet question;
  if (*rc::gen::arbitrary<bool>()) {
    const std::array<std::uint8_t, 8> head = {0, 1, 8, 0, 6, 4, 0, 1};
    std::ranges::copy(head, octets.begin());
    question = test::ethernet_frame(pool, {}, wire::EtherType::kArp, octets);
  } else {
    octets[0] = *rc::gen::inRange<std::uint8_t>(133, 138);
    octets[1] = 0;
    question = test::ip_frame(pool, {.hop_limit = 255}, six("fe80::5"), six("ff02::1"),
                              wire::IpProtocol::kIcmpv6, octets);
  }
  if (!responder.is_for(question)) return;
  const Packet answer = responder.answer(question, Time{1h});
  if (!answer) return;
  RC_ASSERT(!is_malformed(answer));
  RC_ASSERT(verify_checksums(answer));
  RC_ASSERT(source_mac(answer) == kOurs);
}

}  // namespace
}  // namespace vtl::service
