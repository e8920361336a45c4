// Properties of TcpModel under any segments, sane ones and not: symmetric under swapping the ends,
// never a step backwards, what it creates is accepted by another model, serialisation loses
// nothing.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "builder.h"
#include "vtl/model/tcp_model.h"

namespace vtl::model {
namespace {

using test::Net;
using test::Octets;
using test::segment;
using wire::SeqNum;
using wire::TcpFields;
using wire::TcpFlags;

// One of the things that can happen on a connection.
struct Event {
  End from = End::kA;
  std::uint8_t flags = 0;
  std::uint32_t payload = 0;
  std::int32_t seq_shift = 0;  // from where the end stands: old and far segments too
  std::int32_t ack_shift = 0;
  std::uint16_t window = 0;
  std::uint32_t timestamp = 0;
};

std::vector<Event> any_events() {
  const auto event = rc::gen::build<Event>(
      rc::gen::set(&Event::from, rc::gen::element(End::kA, End::kB)),
      rc::gen::set(&Event::flags,
                   rc::gen::weightedElement<std::uint8_t>({{12, TcpFlags::kAck},
                                                           {3, TcpFlags::kFin | TcpFlags::kAck},
                                                           {1, TcpFlags::kSyn},
                                                           {2, TcpFlags::kSyn | TcpFlags::kAck},
                                                           {1, TcpFlags::kRst}})),
      rc::gen::set(&Event::payload, rc::gen::inRange<std::uint32_t>(0, 2000)),
      rc::gen::set(&Event::seq_shift,
                   rc::gen::weightedOneOf<std::int32_t>({{6, rc::gen::just(0)},
                                                         {2, rc::gen::inRange(-3000, 3000)},
                                                         {1, rc::gen::arbitrary<std::int32_t>()}})),
      rc::gen::set(&Event::ack_shift,
                   rc::gen::weightedOneOf<std::int32_t>({{6, rc::gen::just(0)},
                                                         {2, rc::gen::inRange(-3000, 10)},
                                                         {1, rc::gen::arbitrary<std::int32_t>()}})),
      rc::gen::set(&Event::window, rc::gen::arbitrary<std::uint16_t>()),
      rc::gen::set(&Event::timestamp, rc::gen::inRange<std::uint32_t>(0, 1000)));
  return *rc::gen::container<std::vector<Event>>(event);
}

Octets frame_of(const Net& net, const TcpModel& model, const Event& e) {
  TcpFields f = segment(
      e.flags, model.next(e.from).value() + static_cast<std::uint32_t>(e.seq_shift),
      model.next(other(e.from)).value() + static_cast<std::uint32_t>(e.ack_shift), e.window);
  f.options.timestamps = wire::TcpTimestamps{e.timestamp, 0};
  if (f.flags.syn()) f.options.window_scale = static_cast<std::uint8_t>(e.window % 15);
  return net.tcp(e.from, f, e.payload);
}

TcpModel any_start(const Net& net) {
  TcpEndSetup a{Net::mac(End::kA),
                {net.address(End::kA), wire::Port(net.port[0])},
                SeqNum(*rc::gen::arbitrary<std::uint32_t>())};
  TcpEndSetup b{Net::mac(End::kB),
                {net.address(End::kB), wire::Port(net.port[1])},
                SeqNum(*rc::gen::arbitrary<std::uint32_t>())};
  a.timestamp = b.timestamp = 1;
  if (*rc::gen::arbitrary<bool>()) a.window_scale = b.window_scale = 5;
  switch (*rc::gen::inRange(0, 3)) {
    case 0:
      return TcpModel::initialise(a, b, true);
    case 1:
      return *TcpModel::initialise(net.tcp(End::kA, segment(TcpFlags::kSyn, a.next.value())));
    default:
      return *TcpModel::initialise(
          net.tcp(End::kA, segment(TcpFlags::kAck, a.next.value(), b.next.value()), 7));
  }
}

RC_GTEST_PROP(TcpModelProperty, SymmetricUnderSwappingTheEnds, ()) {
  const Net net{.v6 = *rc::gen::arbitrary<bool>()};
  TcpModel model = any_start(net);
  TcpModel mirror = model.swapped();
  for (const Event& e : any_events()) {
    const Octets frame = frame_of(net, model, e);
    RC_ASSERT(mirror.match(frame) == std::optional(other(e.from)));
    RC_ASSERT(model.sync(frame) == mirror.sync(frame));
    RC_ASSERT(mirror.swapped() == model);
    RC_ASSERT(mirror.state(End::kB) == model.state(End::kA));
    RC_ASSERT(mirror.usable_window(End::kB) == model.usable_window(End::kA));
    Octets out(200);
    Octets mirrored(200);
    TcpModel maker = model;
    TcpModel mirror_maker = mirror;
    const TcpOutline what{.flags = {TcpFlags::kPsh}, .payload = Bytes(frame).first(9)};
    const bool same =
        maker.create(e.from, what, out) == mirror_maker.create(other(e.from), what, mirrored);
    RC_ASSERT(same);
    RC_ASSERT(out == mirrored);
  }
}

RC_GTEST_PROP(TcpModelProperty, NothingMovesBackwards, ()) {
  const Net net;
  TcpModel model = any_start(net);
  for (const Event& e : any_events()) {
    const TcpModel before = model;
    const Sync result = model.sync(frame_of(net, model, e));
    if (!followed(result)) RC_ASSERT(model == before);
    for (const End end : {End::kA, End::kB}) {
      // An end that had not spoken had no position.
      if (before.state(end) != TcpState::kListen) RC_ASSERT(model.next(end) >= before.next(end));
      const bool had_ended = before.state(end) == TcpState::kClosed;
      if (had_ended) RC_ASSERT(model.state(end) == TcpState::kClosed);
      if (before.state(end) >= TcpState::kFinWait1) {
        RC_ASSERT(model.state(end) >= TcpState::kFinWait1 || model.state(end) == TcpState::kClosed);
      }
    }
  }
}

RC_GTEST_PROP(TcpModelProperty, SameFrameTwiceIsNoNews, ()) {
  const Net net;
  TcpModel model = any_start(net);
  for (const Event& e : any_events()) {
    const Octets frame = frame_of(net, model, e);
    if (model.sync(frame) != Sync::kAdvanced) continue;
    const TcpModel once = model;
    RC_ASSERT(model.sync(frame) != Sync::kAdvanced);
    RC_ASSERT(model == once);
  }
}

RC_GTEST_PROP(TcpModelProperty, WhatOneCreatesAnotherFollows, ()) {
  const Net net;
  TcpModel maker = any_start(net);
  TcpModel watcher = maker;
  for (const Event& e : any_events()) {
    const Octets payload(e.payload % 400, 'x');
    const std::uint8_t flags = e.flags & (TcpFlags::kFin | TcpFlags::kSyn | TcpFlags::kRst);
    Octets out(600);
    const TcpModel before = maker;
    const auto size = maker.create(
        e.from, {.flags = {flags}, .payload = payload, .acknowledge_all = e.seq_shift == 0}, out);
    if (!size) {
      RC_ASSERT(maker == before);
      continue;
    }
    RC_ASSERT(followed(watcher.sync(Bytes(out).first(*size))));
    RC_ASSERT(watcher == maker);
  }
}

RC_GTEST_PROP(TcpModelProperty, SerialisationLosesNothing, ()) {
  const Net net;
  TcpModel model = any_start(net);
  for (const Event& e : any_events()) {
    model.sync(frame_of(net, model, e));
    Octets bytes(TcpModel::kSerialisedSize);
    model.serialise(bytes);
    const auto back = TcpModel::deserialise(bytes);
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == model);
  }
}

}  // namespace
}  // namespace vtl::model
