#include "vtl/model/tcp_model.h"

#include <gtest/gtest.h>

#include "builder.h"

namespace vtl::model {
namespace {

using test::Net;
using test::Octets;
using test::segment;
using wire::SeqNum;
using wire::TcpFields;
using wire::TcpFlags;

constexpr std::uint8_t kSyn = TcpFlags::kSyn, kAck = TcpFlags::kAck, kFin = TcpFlags::kFin,
                       kRst = TcpFlags::kRst;
constexpr End kA = End::kA, kB = End::kB;

// A live connection: the model, and frames that feed it.
struct Live {
  Net net;
  std::optional<TcpModel> model;
  std::uint32_t iss_a = 1000;
  std::uint32_t iss_b = 5000;

  Sync say(End from, const TcpFields& fields, std::size_t payload = 0) {
    return model->sync(net.tcp(from, fields, payload));
  }
  // Relative numbers: A's first octet of data is 1, and so is B's.
  TcpFields from_a(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) const {
    return segment(flags, iss_a + seq, iss_b + ack);
  }
  TcpFields from_b(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) const {
    return segment(flags, iss_b + seq, iss_a + ack);
  }
  void expect_states(TcpState a, TcpState b) const {
    EXPECT_EQ(to_string(model->state(kA)), to_string(a));
    EXPECT_EQ(to_string(model->state(kB)), to_string(b));
  }
};

TcpFields with_all_options(TcpFields f, std::uint8_t scale, std::uint32_t ts, std::uint32_t echo) {
  f.options.mss = 1460;
  f.options.window_scale = scale;
  f.options.sack_permitted = true;
  f.options.timestamps = wire::TcpTimestamps{ts, echo};
  return f;
}

TcpFields with_timestamps(TcpFields f, std::uint32_t value, std::uint32_t echo) {
  f.options.timestamps = wire::TcpTimestamps{value, echo};
  return f;
}

Live syn_sent(Net net = {}, std::uint32_t iss_a = 1000, std::uint32_t iss_b = 5000) {
  Live live{net, std::nullopt, iss_a, iss_b};
  live.model =
      *TcpModel::initialise(net.tcp(kA, with_all_options(segment(kSyn, iss_a), 7, 100, 0)));
  return live;
}

Live established(Net net = {}, std::uint32_t iss_a = 1000, std::uint32_t iss_b = 5000) {
  Live live = syn_sent(net, iss_a, iss_b);
  TcpFields answer = with_all_options(live.from_b(kSyn | kAck, 0, 1), 9, 200, 100);
  answer.window = 64000;
  EXPECT_EQ(live.say(kB, answer), Sync::kAdvanced);
  EXPECT_EQ(live.say(kA, with_timestamps(live.from_a(kAck, 1, 1), 101, 200)), Sync::kAdvanced);
  return live;
}

// What a created frame says, checksums verified on the way.
TcpFields read_back(const TcpModel& model, End from, Bytes bytes) {
  const auto frame = parse_frame(bytes);
  EXPECT_TRUE(frame);
  EXPECT_EQ(frame->source, model.ip().address(from));
  const auto tcp = wire::TcpView::parse(frame->transport);
  EXPECT_TRUE(tcp);
  EXPECT_TRUE(tcp->verify_checksum(frame->source, frame->destination));
  return tcp->fields();
}

TEST(TcpModel, syn_sent_handshake_establishes) {
  Live live = syn_sent();
  live.expect_states(TcpState::kSynSent, TcpState::kListen);
  live.say(kB, with_all_options(live.from_b(kSyn | kAck, 0, 1), 9, 200, 100));
  live.expect_states(TcpState::kEstablished, TcpState::kSynReceived);
  live.say(kA, with_timestamps(live.from_a(kAck, 1, 1), 101, 200));
  live.expect_states(TcpState::kEstablished, TcpState::kEstablished);
  EXPECT_TRUE(live.model->uses_timestamps());
  EXPECT_TRUE(live.model->sack_permitted());
}

TEST(TcpModel, syn_sent_simultaneous_open_establishes) {
  Live live = syn_sent();
  live.say(kB, segment(kSyn, live.iss_b));
  live.expect_states(TcpState::kSynSent, TcpState::kSynSent);
  EXPECT_EQ(live.say(kA, live.from_a(kSyn | kAck, 0, 1)), Sync::kAdvanced);
  live.expect_states(TcpState::kSynReceived, TcpState::kEstablished);
  EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, 1)), Sync::kAdvanced);
  live.expect_states(TcpState::kEstablished, TcpState::kEstablished);
}

TEST(TcpModel, established_a_closes_first_ends_in_time_wait) {
  Live live = established();
  live.say(kA, live.from_a(kFin | kAck, 1, 1));
  live.expect_states(TcpState::kFinWait1, TcpState::kEstablished);
  live.say(kB, live.from_b(kAck, 1, 2));
  live.expect_states(TcpState::kFinWait2, TcpState::kCloseWait);
  live.say(kB, live.from_b(kAck, 1, 2), 10);
  live.say(kB, live.from_b(kFin | kAck, 11, 2));
  live.expect_states(TcpState::kFinWait2, TcpState::kLastAck);
  live.say(kA, live.from_a(kAck, 2, 12));
  live.expect_states(TcpState::kTimeWait, TcpState::kClosed);
}

TEST(TcpModel, established_both_close_at_once_end_in_time_wait) {
  Live live = established();
  live.say(kA, live.from_a(kFin | kAck, 1, 1));
  live.say(kB, live.from_b(kFin | kAck, 1, 1));
  live.expect_states(TcpState::kFinWait1, TcpState::kFinWait1);
  live.say(kA, live.from_a(kAck, 2, 2));
  live.expect_states(TcpState::kClosing, TcpState::kFinWait2);
  live.say(kB, live.from_b(kAck, 2, 2));
  live.expect_states(TcpState::kTimeWait, TcpState::kTimeWait);
}

TEST(TcpModel, syn_sent_refusal_closes) {
  Live live = syn_sent();
  EXPECT_EQ(live.say(kB, segment(kRst | kAck, 0, live.iss_a + 1)), Sync::kAdvanced);
  live.expect_states(TcpState::kClosed, TcpState::kClosed);
  EXPECT_EQ(live.say(kA, segment(kSyn, 77)), Sync::kNewConnection);
}

TEST(TcpModel, syn_sent_refusal_of_another_syn_changes_nothing) {
  Live live = syn_sent();
  EXPECT_EQ(live.say(kB, segment(kRst | kAck, 0, live.iss_a + 2)), Sync::kBadAck);
  EXPECT_EQ(live.say(kB, segment(kRst | kAck, 0, live.iss_a)), Sync::kOutOfWindow);
  live.expect_states(TcpState::kSynSent, TcpState::kListen);
}

TEST(TcpModel, established_reset_in_place_closes) {
  Live live = established();
  EXPECT_EQ(live.say(kB, live.from_b(kRst, 1, 0)), Sync::kAdvanced);
  live.expect_states(TcpState::kClosed, TcpState::kClosed);
  EXPECT_EQ(live.say(kB, live.from_b(kRst, 1, 0)), Sync::kRepeated);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, 1, 1), 5), Sync::kRepeated);  // crossed it on its way
  live.expect_states(TcpState::kClosed, TcpState::kClosed);
}

TEST(TcpModel, established_guessed_reset_changes_nothing) {
  Live live = established();
  const TcpModel before = *live.model;
  EXPECT_EQ(live.say(kB, live.from_b(kRst, 500, 0)), Sync::kOutOfWindow);
  EXPECT_EQ(live.say(kB, live.from_b(kRst, 0, 0)), Sync::kOutOfWindow);
  EXPECT_EQ(*live.model, before);
}

TEST(TcpModel, established_segment_beyond_window_changes_nothing) {
  Live live = established();
  const TcpModel before = *live.model;
  const std::uint32_t window = live.model->window(kB);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, window + 2, 1), 1), Sync::kOutOfWindow);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, 1, 2)), Sync::kBadAck);
  EXPECT_EQ(*live.model, before);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, window + 1, 1), 1), Sync::kAdvanced);  // a window probe
}

TEST(TcpModel, established_second_syn_is_no_new_connection) {
  Live live = established();
  live.say(kA, live.from_a(kAck, 1, 1), 100);
  const TcpModel before = *live.model;
  EXPECT_EQ(live.say(kA, segment(kSyn, live.iss_a)), Sync::kRepeated);
  EXPECT_EQ(live.say(kA, segment(kSyn, live.iss_a + 50000)), Sync::kOutOfWindow);
  EXPECT_EQ(*live.model, before);
}

TEST(TcpModel, syn_sent_syn_with_another_isn_is_a_new_connection) {
  Live live = syn_sent();
  EXPECT_EQ(live.say(kA, segment(kSyn, live.iss_a)), Sync::kRepeated);
  EXPECT_EQ(live.say(kA, segment(kSyn, 77)), Sync::kNewConnection);
}

// RFC 9293 section 3.10.7.3: the opener answers it with a reset, or drops it, and waits on.
TEST(TcpModel, syn_sent_answer_that_does_not_fit_changes_nothing) {
  for (const bool swap : {false, true}) {
    Live live = syn_sent();
    if (swap) live.model = live.model->swapped();
    const TcpModel before = *live.model;
    EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, 0)), Sync::kBadAck);
    EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, 2)), Sync::kBadAck);
    EXPECT_EQ(live.say(kB, segment(kSyn | kAck, 5000, 900)), Sync::kBadAck);
    EXPECT_EQ(live.say(kB, segment(kAck, 77, 900), 10), Sync::kBadAck) << "of an old connection";
    EXPECT_EQ(live.say(kB, live.from_b(kAck, 1, 1), 10), Sync::kOutOfWindow) << "no SYN yet";
    EXPECT_EQ(*live.model, before);
    EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, 1)), Sync::kAdvanced);
  }
}

TEST(TcpModel, syn_sent_data_on_the_syn_may_be_acknowledged_or_not) {
  for (const std::uint32_t acknowledged : {1U, 50U, 101U}) {
    Live live{.net = {}, .model = std::nullopt};
    live.model = *TcpModel::initialise(live.net.tcp(kA, segment(kSyn, live.iss_a), 100));
    EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, 102)), Sync::kBadAck);
    EXPECT_EQ(live.say(kB, live.from_b(kSyn | kAck, 0, acknowledged)), Sync::kAdvanced);
    live.expect_states(TcpState::kEstablished, TcpState::kSynReceived);
  }
}

TEST(TcpModel, established_other_connections_do_not_match) {
  Live live = established();
  const auto data = segment(kAck, 1001, 5001);
  EXPECT_EQ(live.model->match(live.net.tcp(kA, data)), kA);
  EXPECT_EQ(live.model->match(live.net.tcp(kB, data)), kB);
  for (int i = 0; i < 4; ++i) {
    Net stranger;
    if (i == 0) stranger.port[0] = 40001;
    if (i == 1) stranger.port[1] = 81;
    if (i == 2) stranger.v6 = true;
    if (i == 3) stranger.vlan = 7;
    EXPECT_FALSE(live.model->match(stranger.tcp(kA, data))) << i;
    EXPECT_FALSE(live.model->match(stranger.tcp(kB, data))) << i;
    EXPECT_EQ(live.model->sync(stranger.tcp(kA, data)), Sync::kNoMatch) << i;
  }
  EXPECT_FALSE(live.model->match(live.net.udp(kA, 30)));
}

TEST(TcpModel, established_created_data_is_in_step) {
  for (const bool v6 : {false, true}) {
    for (const End from : {kA, kB}) {
      Live live = established({.v6 = v6, .vlan = 9});
      TcpModel& model = *live.model;
      const Octets payload(100, 'x');
      Octets frame(2000);
      const SeqNum expected = model.next(from);
      const auto size = model.create(from, {.flags = {TcpFlags::kPsh}, .payload = payload}, frame);
      ASSERT_TRUE(size);
      frame.resize(*size);
      const TcpFields f = read_back(model, from, frame);
      EXPECT_EQ(f.seq, expected);
      EXPECT_EQ(f.ack, model.acknowledged(from));
      EXPECT_EQ(f.flags.bits, kAck | TcpFlags::kPsh);
      EXPECT_EQ(model.next(from), expected + 100);
      EXPECT_EQ(model.in_flight(from), 100U);
      const auto ip = parse_frame(frame);
      EXPECT_EQ(ip->ttl, live.net.ttl[index(from)]);
      EXPECT_EQ(ip->ethernet.source, Net::mac(from));
      EXPECT_EQ(ip->ethernet.tags[0].vid, 9);
      EXPECT_EQ(ip->label, v6 ? 0x100 + index(from) : 1000 * (1 + index(from)) + 1);
      EXPECT_EQ(ip->dont_fragment, !v6);
      // What the other end answers fits.
      const TcpFields answer = from == kA ? live.from_b(kAck, 1, 101) : live.from_a(kAck, 1, 101);
      EXPECT_EQ(live.say(other(from), answer), Sync::kAdvanced);
      EXPECT_EQ(model.in_flight(from), 0U);
    }
  }
}

TEST(TcpModel, made_by_hand_creates_its_whole_life) {
  const Net net;
  TcpEndSetup a{Net::mac(kA), {net.address(kA), wire::Port(40000)}, SeqNum(0xffffffff), 65535, 7};
  a.timestamp = 10;
  TcpEndSetup b{Net::mac(kB), {net.address(kB), wire::Port(80)}, SeqNum(7), 65535, 8};
  b.timestamp = 20;
  b.mss = 1200;
  TcpModel maker = TcpModel::initialise(a, b, false);
  Octets frame(2000);
  std::optional<TcpModel> watcher;
  const auto make = [&](End from, std::uint8_t flags, std::size_t payload) {
    const Octets data(payload, 'd');
    const auto size = maker.create(from, {.flags = {flags}, .payload = data}, frame);
    ASSERT_TRUE(size) << to_string(size.error());
    const Bytes bytes = Bytes(frame).first(*size);
    if (!watcher) {
      watcher = *TcpModel::initialise(bytes);
    } else {
      EXPECT_EQ(watcher->sync(bytes), Sync::kAdvanced) << int{flags};
    }
    EXPECT_EQ(watcher->state(kA), maker.state(kA));
    EXPECT_EQ(watcher->state(kB), maker.state(kB));
  };
  EXPECT_EQ(maker.create(kA, {}, frame).error(), CreateError::kNotSynchronised);
  make(kA, kSyn, 0);
  make(kB, kSyn, 0);
  make(kA, 0, 0);
  EXPECT_EQ(maker.segment_size(kA), 1188);
  make(kA, TcpFlags::kPsh, 500);
  make(kA, kFin, 10);
  EXPECT_EQ(maker.create(kA, {.payload = Octets(1)}, frame).error(), CreateError::kClosed);
  const auto take_all = maker.create(kB, {.acknowledge_all = true}, frame);
  ASSERT_TRUE(take_all);
  EXPECT_EQ(watcher->sync(Bytes(frame).first(*take_all)), Sync::kAdvanced);
  make(kB, kFin, 0);
  const auto last = maker.create(kA, {.acknowledge_all = true}, frame);
  ASSERT_TRUE(last);
  EXPECT_EQ(maker.state(kA), TcpState::kTimeWait);
  EXPECT_EQ(maker.state(kB), TcpState::kClosed);
}

TEST(TcpModel, established_create_refuses_what_the_other_would_not_take) {
  Live live = established();
  TcpModel& model = *live.model;
  Octets frame(70000);
  const Octets large(1449, 'x');  // MSS 1460 less 12 for timestamps is 1448
  EXPECT_EQ(model.segment_size(kA), 1448);
  const TcpModel before = model;
  EXPECT_EQ(model.create(kA, {.payload = large}, frame).error(), CreateError::kPayloadTooLarge);
  EXPECT_EQ(model.create(kA, {.payload = Bytes(large).first(100)}, MutableBytes(frame).first(100))
                .error(),
            CreateError::kNoRoom);
  EXPECT_EQ(model, before);
  EXPECT_TRUE(model.create(kA, {.payload = large, .super_frame = true}, frame));
  // B closes its window.
  TcpFields shut = live.from_b(kAck, 1, 1450);
  shut.window = 0;
  EXPECT_EQ(live.say(kB, shut), Sync::kAdvanced);
  EXPECT_EQ(model.create(kA, {.payload = Bytes(large).first(1)}, frame).error(),
            CreateError::kWindowFull);
  EXPECT_TRUE(model.create(kA, {}, frame));
}

TEST(TcpModel, established_keep_alive_is_one_octet_old) {
  Live live = established();
  Octets frame(200);
  const TcpModel before = *live.model;
  const auto size = live.model->create(kA, {.keep_alive = true}, frame);
  ASSERT_TRUE(size);
  EXPECT_EQ(read_back(*live.model, kA, Bytes(frame).first(*size)).seq, before.next(kA) - 1);
  EXPECT_EQ(live.model->next(kA), before.next(kA));
}

TEST(TcpModel, established_created_reset_closes) {
  Live live = established();
  Octets frame(200);
  const auto size = live.model->create(kB, {.flags = {kRst}}, frame);
  ASSERT_TRUE(size);
  live.expect_states(TcpState::kClosed, TcpState::kClosed);
  EXPECT_EQ(live.model->create(kA, {}, frame).error(), CreateError::kClosed);
}

TEST(TcpModel, syn_sent_created_refusal_acknowledges_the_syn) {
  Live live = syn_sent();
  Octets frame(200);
  const auto size = live.model->create(kB, {.flags = {kRst}}, frame);
  ASSERT_TRUE(size);
  const TcpFields f = read_back(*live.model, kB, Bytes(frame).first(*size));
  EXPECT_EQ(f.flags.bits, kRst | kAck);
  EXPECT_EQ(f.ack, SeqNum(1001));
  live.expect_states(TcpState::kClosed, TcpState::kClosed);
}

TEST(TcpModel, met_in_the_middle_follows_both_ends) {
  const Net net;
  auto model = TcpModel::initialise(net.tcp(kA, segment(kAck, 1000, 5000), 50));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->state(kA), TcpState::kEstablished);
  // B acknowledges more than was seen of A: it has come further than that.
  EXPECT_EQ(model->sync(net.tcp(kB, segment(kAck, 5000, 2000), 30)), Sync::kAdvanced);
  EXPECT_EQ(model->next(kA), SeqNum(2000));
  EXPECT_EQ(model->state(kB), TcpState::kEstablished);
  EXPECT_EQ(model->sync(net.tcp(kB, segment(kAck, 5030, 2001))), Sync::kBadAck);
  EXPECT_EQ(model->sync(net.tcp(kA, segment(kAck | kFin, 2000, 5030))), Sync::kAdvanced);
  EXPECT_EQ(model->state(kA), TcpState::kFinWait1);
  Octets frame(200);
  ASSERT_TRUE(model->create(kB, {.acknowledge_all = true}, frame));
  EXPECT_EQ(model->state(kA), TcpState::kFinWait2);
}

TEST(TcpModel, initialise_refuses_resets_fragments_equal_ends_and_other_protocols) {
  const Net net;
  EXPECT_EQ(TcpModel::initialise(net.tcp(kA, segment(kRst, 1))).error(),
            wire::WireError::kUnsupported);
  EXPECT_EQ(TcpModel::initialise(net.udp(kA, 20)).error(), wire::WireError::kUnsupported);
  Octets to_itself = Net{.port = {80, 80}}.tcp(kA, segment(kSyn, 1));
  std::copy_n(to_itself.begin() + 14 + 12, 4, to_itself.begin() + 14 + 16);
  EXPECT_EQ(TcpModel::initialise(to_itself).error(), wire::WireError::kUnsupported);
  Octets fragment = net.tcp(kA, segment(kSyn, 1), 40);
  store_be16(fragment, 14 + 6, 0x2000);
  EXPECT_EQ(TcpModel::initialise(fragment).error(), wire::WireError::kUnsupported);
}

TEST(TcpModel, established_super_frame_counts_whole) {
  Live live = established();
  Octets frame = live.net.tcp(kA, live.from_a(kAck, 1, 1), 60000);
  store_be16(frame, 14 + 2, 0);  // the kernel leaves the IP length to the device
  EXPECT_EQ(live.model->sync(frame), Sync::kMalformed);
  EXPECT_EQ(live.model->sync(frame, true), Sync::kAdvanced);
  EXPECT_EQ(live.model->next(kA), SeqNum(61001));
}

TEST(TcpModel, established_new_mac_of_an_end_is_learned) {
  Live live = established();
  Octets frame = live.net.tcp(kA, live.from_a(kAck, 1, 1), 1);
  frame[11] = 0x77;
  EXPECT_EQ(live.model->sync(frame), Sync::kAdvanced);
  EXPECT_EQ(live.model->ethernet().mac(kA).octets()[5], 0x77);
}

TEST(TcpModel, any_state_serialises_and_comes_back) {
  Live live = established({.v6 = true, .vlan = 3});
  live.say(kA, live.from_a(kAck | kFin, 1, 1), 20);
  Octets bytes(TcpModel::kSerialisedSize, 0xaa);
  live.model->serialise(bytes);
  const auto back = TcpModel::deserialise(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, *live.model);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(TcpModel::deserialise(Bytes(bytes).first(size)).error(), wire::WireError::kTruncated);
  }
  bytes[0] = 2;
  EXPECT_EQ(TcpModel::deserialise(bytes).error(), wire::WireError::kUnsupported);
}

TEST(TcpModel, printed_tells_both_ends) {
  EXPECT_EQ(to_string(*established().model),
            "A 192.0.2.1:40000 established next 1001 | B 198.51.100.2:80 established next 5001");
}

// The defects of the original, one test each (those of iface are tested there).

TEST(TcpModelRegression, FinCountsInSequenceSpace) {
  Live live = established();
  live.say(kA, live.from_a(kFin | kAck, 1, 1), 10);
  EXPECT_EQ(live.model->next(kA), SeqNum(live.iss_a + 12));
  EXPECT_EQ(live.say(kB, live.from_b(kAck, 1, 12)), Sync::kAdvanced);
  EXPECT_EQ(live.model->state(kA), TcpState::kFinWait2);
}

TEST(TcpModelRegression, RetransmissionNeverMovesTheStateBackwards) {
  Live live = established();
  const TcpFields first = with_timestamps(live.from_a(kAck, 1, 1), 102, 200);
  live.say(kA, first, 100);
  live.say(kA, with_timestamps(live.from_a(kAck, 101, 1), 103, 200), 100);
  live.say(kB, with_timestamps(live.from_b(kAck, 1, 201), 201, 103), 40);
  const SeqNum next_a = live.model->next(kA);
  const SeqNum acknowledged_b = live.model->acknowledged(kB);
  EXPECT_EQ(live.say(kA, first, 100), Sync::kRepeated);
  EXPECT_EQ(live.say(kB, with_timestamps(live.from_b(kAck, 1, 1), 200, 101)), Sync::kRepeated);
  EXPECT_EQ(live.model->next(kA), next_a);
  EXPECT_EQ(live.model->acknowledged(kB), acknowledged_b);
  // The SYN and the SYN,ACK too, late as they are.
  EXPECT_EQ(live.say(kB, with_all_options(live.from_b(kSyn | kAck, 0, 1), 9, 200, 100)),
            Sync::kRepeated);
  live.expect_states(TcpState::kEstablished, TcpState::kEstablished);
  EXPECT_EQ(live.model->next(kA), next_a);
}

TEST(TcpModelRegression, WindowScaleIsApplied) {
  Live live = established();
  TcpFields ack = live.from_b(kAck, 1, 1);
  ack.window = 1234;
  live.say(kB, ack);
  EXPECT_EQ(live.model->window(kB), 1234U << 9);
  EXPECT_EQ(live.model->usable_window(kA), 1234U << 9);
  // And only when both have offered it; and never to the window in a SYN.
  Live plain = syn_sent();
  plain.say(kB, plain.from_b(kSyn | kAck, 0, 1));
  plain.say(kA, plain.from_a(kAck, 1, 1));
  EXPECT_EQ(plain.model->window(kA), 1000U);
  EXPECT_EQ(plain.model->window(kB), 1000U);
  Live fresh = syn_sent();
  TcpFields syn_ack = with_all_options(fresh.from_b(kSyn | kAck, 0, 1), 9, 200, 100);
  syn_ack.window = 65160;
  fresh.say(kB, syn_ack);
  EXPECT_LE(fresh.model->window(kB), 65160U);
  EXPECT_GT(fresh.model->window(kB), 65160U - 512);
}

TEST(TcpModelRegression, OptionOfLengthZeroEndsTheWalk) {
  Live live = established();
  Octets frame = live.net.tcp(kA, with_timestamps(live.from_a(kAck, 1, 1), 102, 200), 5);
  frame[14 + 20 + 20 + 3] = 0;  // the length of the timestamps
  EXPECT_EQ(live.model->sync(frame), Sync::kMalformed);
  EXPECT_FALSE(TcpModel::initialise(frame));
}

TEST(TcpModelRegression, NumbersWrapAt32Bits) {
  Live live = established({}, 0xffffffe0U, 0xfffffffeU);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, 1, 1), 100), Sync::kAdvanced);
  EXPECT_EQ(live.model->next(kA), SeqNum(0xffffffe0U + 101));
  EXPECT_EQ(live.model->next(kA).value(), 69U);
  EXPECT_EQ(live.say(kB, live.from_b(kAck, 1, 101), 10), Sync::kAdvanced);
  EXPECT_EQ(live.model->in_flight(kA), 0U);
  EXPECT_EQ(live.model->next(kB).value(), 9U);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, 1, 11), 100), Sync::kAdvanced);  // its ack is new
}

TEST(TcpModelRegression, CapturedLengthIsNotIgnored) {
  Live live = established();
  const Octets frame = live.net.tcp(kA, live.from_a(kAck, 1, 1), 100);
  const TcpModel before = *live.model;
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_EQ(live.model->sync(Bytes(frame).first(size)), Sync::kMalformed) << size;
  }
  EXPECT_EQ(*live.model, before);
}

TEST(TcpModelRegression, CreatedPacketsBearNegotiatedTimestamps) {
  Live live = established();
  live.say(kB, with_timestamps(live.from_b(kAck, 1, 1), 250, 101), 10);
  Octets frame(200);
  const auto from_a = live.model->create(kA, {.payload = Octets(3)}, frame);
  EXPECT_EQ(read_back(*live.model, kA, Bytes(frame).first(*from_a)).options.timestamps,
            (wire::TcpTimestamps{101, 250}));
  const auto from_b = live.model->create(kB, {.payload = Octets(3)}, frame);
  EXPECT_EQ(read_back(*live.model, kB, Bytes(frame).first(*from_b)).options.timestamps,
            (wire::TcpTimestamps{250, 101}));
  // Not negotiated: none.
  Live plain = syn_sent();
  plain.say(kB, plain.from_b(kSyn | kAck, 0, 1));
  plain.say(kA, plain.from_a(kAck, 1, 1));
  const auto size = plain.model->create(kA, {.payload = Octets(3)}, frame);
  EXPECT_EQ(read_back(*plain.model, kA, Bytes(frame).first(*size)).options, wire::TcpOptions{});
}

TEST(TcpModelRegression, Ipv4OptionsAreSteppedOver) {
  Live live = established({.ipv4_options = true});
  live.expect_states(TcpState::kEstablished, TcpState::kEstablished);
  EXPECT_EQ(live.say(kA, live.from_a(kAck, 1, 1), 100), Sync::kAdvanced);
  EXPECT_EQ(live.model->in_flight(kA), 100U);
}

TEST(TcpModelRegression, OwnFramesThatComeBackChangeNothing) {
  Live live = established();
  Octets frame(200);
  const auto size = live.model->create(kA, {.payload = Octets(30)}, frame);
  const TcpModel before = *live.model;
  EXPECT_EQ(live.model->sync(Bytes(frame).first(*size)), Sync::kRepeated);
  EXPECT_EQ(*live.model, before);
}

}  // namespace
}  // namespace vtl::model
