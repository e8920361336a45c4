// TcpModel between two ends that say anything: segments told as small steps from where each end
// stands, so that a few changed octets reach deep states of a connection.
//
// Two octets choose where the sequence numbers begin (near 0, 2^31 or 2^32, or anywhere) and how
// the model is made; then come segments, and frames that the model itself is to make.
// Checked after each: what is promised of the model and of what it makes (invariants below).
#include <array>

#include "fuzz.h"
#include "tests/fuzz/input.h"
#include "tests/unit/model/builder.h"
#include "vtl/model/tcp_model.h"

using namespace vtl;
using namespace vtl::model;
using wire::SeqNum;

namespace {

using vtl::fuzz::Input;

/// Small signed steps mostly, segments and windows, and now and then anything.
std::uint32_t delta(Input& in) {
  const std::uint8_t kind = in.octet();
  if (kind < 128) return kind - 64U;
  if (kind < 192) return (kind - 160U) * 1460U;
  if (kind < 250) return (kind - 221U) * 0x10000U;
  return in.any();
}

std::uint32_t beginning(Input& in, std::uint8_t how) {
  constexpr std::array<std::uint32_t, 3> kEdges{0, 0x80000000U, 0xfffffff0U};
  return how % 4 == 3 ? in.any() : kEdges[how % 4] - (how / 4) % 16 * 64;
}

class Traffic {
 public:
  explicit Traffic(Input& in) : in_(in) {
    const std::uint8_t a = in_.octet(), b = in_.octet();
    net_.v6 = (a & 128) != 0;
    net_.vlan = (b & 192) == 128 ? 7 : 0;  // one that is made by hand has no tag
    said_ = {SeqNum(beginning(in_, a)), SeqNum(beginning(in_, b))};
    if ((b & 64) != 0) by_hand();
  }

  void run() {
    for (int turn = 0; turn < 400 && !in_.empty(); ++turn) {
      const std::uint8_t what = in_.octet();
      const End from = (what & 1) != 0 ? End::kB : End::kA;
      if ((what & 0x70) == 0x70 && model_) {
        speak(from, (what & 2) != 0);
      } else {
        hear(from, what);
      }
      if (model_) check();
    }
  }

 private:
  TcpEndSetup setup(End end) {
    TcpEndSetup out;
    out.mac = net_.mac(end);
    out.address = {net_.address(end), wire::Port(net_.port[index(end)])};
    out.next = said_[index(end)];
    out.window = in_.word();
    const std::uint8_t options = in_.octet();
    if ((options & 1) != 0) out.window_scale = options >> 4;
    out.sack_permitted = (options & 2) != 0;
    if ((options & 4) != 0) out.timestamp = in_.any();
    return out;
  }

  void by_hand() {
    const bool established = (in_.octet() & 1) != 0;
    const TcpEndSetup a = setup(End::kA);
    model_ = TcpModel::initialise(a, setup(End::kB), established);
    check();
  }

  wire::TcpFields segment(End from) {
    wire::TcpFields f;
    f.seq = said_[index(from)] + delta(in_);
    f.flags.bits = in_.octet();
    f.ack = said_[index(other(from))] + delta(in_);
    f.window = in_.word();
    const std::uint8_t options = in_.octet();
    if ((options & 1) != 0) f.options.mss = in_.word();
    if ((options & 2) != 0) f.options.window_scale = in_.octet();
    if ((options & 4) != 0) f.options.timestamps = wire::TcpTimestamps{in_.any(), in_.any()};
    f.options.sack_permitted = (options & 8) != 0;
    return f;
  }

  // A segment from an end, whatever the model holds of it.
  void hear(End from, std::uint8_t what) {
    const wire::TcpFields fields = segment(from);
    const std::size_t size = (what & 8) != 0 ? in_.octet() : 0;
    const test::Octets frame = net_.tcp(from, fields, size);
    if ((what & 4) == 0) {  // it counts as said: later steps go on from here
      said_[index(from)] = fields.seq + static_cast<std::uint32_t>(size) +
                           (fields.flags.syn() ? 1U : 0U) + (fields.flags.fin() ? 1U : 0U);
    }
    if (!model_) {
      if (auto made = TcpModel::initialise(frame)) model_ = *made;
      return;
    }
    const TcpModel before = *model_;
    TcpModel mirror = model_->swapped();
    FUZZ_CHECK(model_->match(frame).has_value());
    const Sync result = model_->sync(frame);
    FUZZ_CHECK(mirror.sync(frame) == result);
    FUZZ_CHECK(mirror == model_->swapped());
    FUZZ_CHECK(result != Sync::kNoMatch && result != Sync::kMalformed);
    if (!followed(result)) FUZZ_CHECK(*model_ == before);
    only_grows(before);
    // The same frame again tells nothing new.
    if (followed(result)) {
      TcpModel again = *model_;
      const Sync second = again.sync(frame);
      FUZZ_CHECK(second != Sync::kAdvanced);
      if (followed(second)) FUZZ_CHECK(states(again) == states(*model_));
    }
  }

  // The model speaks for an end: what it makes is followed by another onlooker that knew as much,
  // and lies within the window.
  void speak(End from, bool fin) {
    const TcpModel before = *model_;
    TcpModel onlooker = *model_;
    TcpOutline what;
    const std::uint8_t how = in_.octet();
    const test::Octets text(how & 8 ? in_.octet() : std::size_t{0}, 'm');
    what.payload = text;
    if (fin) what.flags.bits |= wire::TcpFlags::kFin;
    if ((how & 1) != 0) what.flags.bits |= wire::TcpFlags::kSyn;
    if ((how & 2) != 0) what.flags.bits |= wire::TcpFlags::kRst;
    what.acknowledge_all = (how & 4) != 0;
    what.keep_alive = (how & 16) != 0;
    std::array<std::uint8_t, 600> room{};
    const auto size = model_->create(from, what, room);
    if (!size) {
      FUZZ_CHECK(*model_ == before);
      return;
    }
    const Bytes frame = Bytes(room).first(*size);
    FUZZ_CHECK(onlooker.match(frame) == from);
    FUZZ_CHECK(followed(onlooker.sync(frame)));
    FUZZ_CHECK(states(onlooker) == states(*model_));
    only_grows(before);
    said_[index(from)] = model_->next(from);
  }

  static std::array<TcpState, 2> states(const TcpModel& model) {
    return {model.state(End::kA), model.state(End::kB)};
  }

  // Nothing that was sent or acknowledged is ever taken back.
  void only_grows(const TcpModel& before) {
    for (const End end : {End::kA, End::kB}) {
      if (before.state(end) == TcpState::kClosed || before.state(end) == TcpState::kListen)
        continue;
      FUZZ_CHECK(model_->next(end) >= before.next(end));
      FUZZ_CHECK(order(before.state(end)) <= order(model_->state(end)));
    }
  }

  // How far along a state is: no segment brings an end back.
  static int order(TcpState state) {
    switch (state) {
      case TcpState::kListen:
        return 0;
      case TcpState::kSynSent:
        return 1;
      case TcpState::kSynReceived:
        return 2;
      case TcpState::kEstablished:
        return 3;
      case TcpState::kFinWait1:
      case TcpState::kCloseWait:
        return 4;
      case TcpState::kFinWait2:
      case TcpState::kClosing:
      case TcpState::kLastAck:
        return 5;
      case TcpState::kTimeWait:
      case TcpState::kClosed:
        return 6;
    }
    return 7;
  }

  void check() {
    const TcpModel& model = *model_;
    for (const End end : {End::kA, End::kB}) {
      const std::uint32_t flight = model.in_flight(end);
      FUZZ_CHECK(flight < 0x80000000U);
      if (flight > 0) {
        FUZZ_CHECK(model.acknowledged(other(end)) + flight == model.next(end));
      }
      FUZZ_CHECK(model.usable_window(end) <= model.window(other(end)));
      FUZZ_CHECK(model.segment_size(end) <= 65535);
    }
    FUZZ_CHECK(!to_string(model).empty());
    std::array<std::uint8_t, TcpModel::kSerialisedSize> bytes{};
    model.serialise(bytes);
    FUZZ_CHECK(TcpModel::deserialise(bytes) == model);
    FUZZ_CHECK(model.swapped().swapped() == model);
  }

  Input& in_;
  model::test::Net net_;
  std::array<SeqNum, 2> said_{};
  std::optional<TcpModel> model_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  Traffic(in).run();
  return 0;
}
