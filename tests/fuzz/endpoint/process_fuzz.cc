// An endpoint fed with segments that an attacker writes, at times of its choosing.
//
// The first octet says how the connection was made; then come actions, each an octet and what it
// needs. Numbers in segments are deltas from what the peer would send, so that a few changed octets
// reach deep states. Checked after each action: sanitizers, the memory bound, that dispatch() makes
// progress when poll_at() says now, and that nothing is sent beyond what the peer allowed.
#include <algorithm>
#include <array>
#include <optional>

#include "tests/fuzz/fuzz.h"
#include "vtl/endpoint/endpoint.h"

namespace {

using namespace vtl;
using namespace vtl::endpoint;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::uint8_t octet() { return empty() ? std::uint8_t{0} : data_[at_++]; }
  std::uint16_t word() {
    const std::uint16_t high = octet();
    return static_cast<std::uint16_t>(high << 8 | octet());
  }
  /// Small signed steps mostly, and now and then anything.
  std::uint32_t delta() {
    const std::uint8_t kind = octet();
    if (kind < 128) return kind - 32U;
    if (kind < 250) return (kind - 128U) * 1460U;
    return static_cast<std::uint32_t>(word()) << 16 | word();
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

constexpr std::uint32_t kOurIss = 0xfffffe00U;
constexpr std::uint32_t kPeerIss = 0x7ffffe00U;

class Attack {
 public:
  explicit Attack(Input& in) : in_(in) {
    const std::uint8_t how = in_.octet();
    config_.receive_buffer = (how & 1) != 0 ? 4000 : 100'000;
    config_.send_buffer = 50'000;
    config_.offer_timestamps = (how & 2) != 0;
    config_.offer_window_scale = (how & 4) != 0;
    config_.window_scale = 3;
    config_.nagle = (how & 8) != 0;
    config_.keep_alive_idle = (how & 16) != 0 ? Duration{5s} : Duration::zero();
    config_.congestion = (how & 32) != 0 ? Congestion::kCubic : Congestion::kNewReno;
    const Endpoint::Identity ports{wire::Port(80), wire::Port(4000)};
    if ((how & 64) != 0) {
      endpoint_ = Endpoint::connect(config_, ports, wire::SeqNum(kOurIss), now_);
    } else {
      Segment syn;
      syn.header = header();
      syn.header.flags.bits = wire::TcpFlags::kSyn;
      peer_next_ += 1;
      endpoint_ =
          Endpoint::accept_syn(config_, ports, wire::SeqNum(kOurIss), syn, (how & 128) != 0, now_);
      learn(syn.header);
    }
    drain();
  }

  void run() {
    for (int turn = 0; turn < 2000 && !in_.empty(); ++turn) {
      act();
      drain();
      check();
    }
  }

 private:
  wire::TcpFields header() {
    wire::TcpFields h;
    h.source = wire::Port(4000);
    h.destination = wire::Port(80);
    h.seq = peer_next_ + in_.delta();
    h.ack = our_next_ + in_.delta();
    h.flags.bits = in_.octet();
    h.window = in_.word();
    const std::uint8_t options = in_.octet();
    if ((options & 1) != 0) h.options.mss = in_.word();
    if ((options & 2) != 0) h.options.window_scale = in_.octet();
    if ((options & 4) != 0) h.options.timestamps = wire::TcpTimestamps{in_.delta(), in_.delta()};
    h.options.sack_permitted = (options & 8) != 0;
    return h;
  }

  void learn(const wire::TcpFields& h) {
    if (h.flags.syn() && h.options.window_scale) {
      scale_ = std::max<unsigned>(scale_, std::min<unsigned>(*h.options.window_scale, 14));
    }
    widest_ = std::max(widest_, static_cast<std::uint32_t>(h.window) << scale_);
  }

  void segment() {
    Segment s;
    s.header = header();
    const std::size_t size =
        in_.octet() < 200 ? in_.octet() : std::min<std::size_t>(in_.word(), text_.size());
    s.payload = Bytes(text_).first(size);
    s.segments = static_cast<std::uint16_t>(1 + in_.octet() % 44);
    learn(s.header);
    endpoint_->process(s, now_);
    if (in_.octet() < 128) {  // the peer counts it as sent
      peer_next_ = s.header.seq + static_cast<std::uint32_t>(size) +
                   (s.header.flags.syn() ? 1U : 0U) + (s.header.flags.fin() ? 1U : 0U);
    }
  }

  void act() {
    switch (in_.octet() % 16) {
      case 0:
        now_ += Duration{1ms} * in_.word();
        break;
      case 1:
        now_ += Duration{1s} * in_.octet();
        break;
      case 2:
        (void)endpoint_->write(Bytes(text_).first(std::min<std::size_t>(in_.word(), text_.size())),
                               now_);
        break;
      case 3:
        endpoint_->consume(std::min<std::size_t>(in_.word(), endpoint_->readable()), now_);
        break;
      case 4:
        if (in_.octet() < 64) endpoint_->shutdown(now_);
        break;
      case 5:
        if (in_.octet() < 8) endpoint_->abort(now_);
        break;
      case 6:
        endpoint_->accept(now_, in_.word());
        break;
      case 7:
        if (in_.octet() < 64) endpoint_->refuse(now_);
        break;
      case 8:
        endpoint_->limit_mss(in_.word(), now_);
        break;
      case 9:
        endpoint_->icmp_error(in_.octet() < 32, now_);
        break;
      case 10:
        refuse_next_ = true;
        break;
      default:
        segment();
    }
  }

  void drain() {
    for (int turn = 0; endpoint_->poll_at(now_) <= now_; ++turn) {
      FUZZ_CHECK(turn < 1000);
      endpoint_->dispatch(now_, [&](const OutSegment& out) {
        if (refuse_next_) {
          refuse_next_ = false;
          return false;
        }
        std::size_t size = 0;
        for (const Bytes piece : out.payload) {
          fuzz::touch(piece);
          size += piece.size();
        }
        FUZZ_CHECK(size == out.payload_size);
        FUZZ_CHECK(out.segment_size > 0);
        if (!out.header.flags.rst()) {
          const wire::SeqNum end = out.header.seq + static_cast<std::uint32_t>(size);
          our_next_ = max(our_next_, end);
          // No window that the peer ever announced was wider than this.
          FUZZ_CHECK(size <= widest_ + 1);
        }
        std::array<std::uint8_t, wire::TcpView::kMaxSize> room;
        FUZZ_CHECK(out.header.size() <= room.size());
        out.header.emit(room);
        return true;
      });
    }
  }

  void check() {
    FUZZ_CHECK(endpoint_->readable() <= config_.receive_buffer + (1U << config_.window_scale));
    FUZZ_CHECK(endpoint_->memory() <=
               config_.receive_buffer + config_.send_buffer + 4 * ChunkPool::kChunk + 16384);
    FUZZ_CHECK(endpoint_->peek().empty() == (endpoint_->readable() == 0));
    fuzz::touch(endpoint_->peek());
    FUZZ_CHECK(endpoint_->effective_mss() > 0);
  }

  Input& in_;
  Config config_;
  Time now_{Duration{1000s}};
  std::optional<Endpoint> endpoint_;
  std::vector<std::uint8_t> text_ = std::vector<std::uint8_t>(30'000, 't');
  wire::SeqNum peer_next_{kPeerIss};
  wire::SeqNum our_next_{kOurIss};
  unsigned scale_ = 0;
  std::uint32_t widest_ = 0;
  bool refuse_next_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  Attack(in).run();
  return 0;
}
