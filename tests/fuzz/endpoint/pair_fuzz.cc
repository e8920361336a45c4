// Two endpoints and a path between them that the input commands.
//
// Four octets for each end choose its settings (config_from()), one more how the connection is
// made and whether the second end sends back what it reads; then come actions: what the programs
// do, how time passes, and what becomes of the segments on the way: they are delivered out of turn,
// dropped, copied, marked as congested, or refused for their size with an ICMP error. Checked after
// each action: all that witness.h lists. At the end the path is made good and both programs write,
// shut down and read all there is: then every octet has arrived and both ends end in order, however
// bad the past was. Nobody aborts here, and nobody may give up: the time that passes is less than
// any of them waits.
#include <deque>

#include "tests/fuzz/endpoint/witness.h"

namespace {

using namespace vtl;
using namespace vtl::endpoint;
using endpoint::fuzz::Witness;
using vtl::fuzz::Input;

constexpr std::size_t kPool = 12 * ChunkPool::kChunk;
constexpr std::size_t kMostOnTheWay = 1000;
constexpr std::uint64_t kMostWritten = 400'000;
constexpr Duration kDelay = 10ms;

class Pair {
 public:
  explicit Pair(Input& in) : in_(in) {
    for (End& end : ends_) {
      end.config = endpoint::fuzz::config_from(in_, end.pool);
      end.config.user_timeout = 1000h;
      end.config.time_wait = 1000h;  // no FIN that went again comes too late
      end.config.syn_retries = UINT8_MAX;
      end.config.keep_alive_probes = UINT8_MAX;
    }
    const std::uint8_t how = in_.octet();
    both_open_ = (how & 1) != 0;
    ends_[0].iss = wire::SeqNum((how & 2) != 0 ? 0x7fffff00U : 0xffffff00U);
    ends_[1].iss = wire::SeqNum((how & 4) != 0 ? 0x7ffff000U : 0xfffff000U);
    merge_ = (how & 8) != 0;
    echo_ = (how & 16) != 0;
    start(0);
    if (both_open_) start(1);
    work();
  }
  void run() {
    for (int turn = 0; turn < 600 && !in_.empty(); ++turn) {
      act();
      work();
    }
    finish();
  }

 private:
  // A segment as it is on the wire; `text` is its payload.
  struct OnTheWay {
    wire::TcpFields header;
    std::vector<std::uint8_t> text;
    std::uint16_t segments = 1;
    bool ect = false, ce = false;
    Time due{};
  };
  struct End {
    ChunkPool pool{kPool};  // before the endpoint, which it outlives
    Config config;
    wire::SeqNum iss;
    std::optional<Witness> witness;
    std::optional<Endpoint> endpoint;
    std::deque<OnTheWay> sent;
    bool shut = false;
    int refusals = 0;
  };

  [[nodiscard]] static Endpoint::Identity identity(int i) {
    const std::array ports{wire::Port(4000), wire::Port(80)};
    return {ports[static_cast<std::size_t>(i)], ports[static_cast<std::size_t>(1 - i)]};
  }
  End& end(int i) { return ends_[static_cast<std::size_t>(i)]; }

  void witness(int i) {
    const std::array<std::uint32_t, 2> salts{0x11111, 0x2222222};
    end(i).witness.emplace(end(i).config, end(i).iss, salts[static_cast<std::size_t>(i)],
                           salts[static_cast<std::size_t>(1 - i)]);
    if (echo_ && i == 0) end(i).witness->hear_echo();
    if (echo_ && i == 1) end(i).witness->be_echo();
  }
  void start(int i) {
    witness(i);
    end(i).endpoint = Endpoint::connect(end(i).config, identity(i), end(i).iss, now_);
  }

  void arrive(int i, const OnTheWay& what) {
    End& to = end(i);
    Segment s;
    s.header = what.header;
    s.payload = what.text;
    s.segments = what.segments;
    s.ce = what.ce;
    if (to.endpoint) {
      to.witness->process(*to.endpoint, s, now_);
    } else if (what.header.flags.syn() && !what.header.flags.ack()) {
      witness(i);
      to.endpoint = Endpoint::accept_syn(to.config, identity(i), to.iss, s, false, now_);
      to.witness->accepted(s, false);
    }
  }

  // Cut into the segments of the wire, or as the super-frame that a receiver's offload makes of
  // them.
  void onto_path(int i, const OutSegment& out) {
    OnTheWay what;
    what.header = out.header;
    what.ect = out.ect;
    what.due = now_ + kDelay;
    std::vector<std::uint8_t> text;
    for (const Bytes piece : out.payload) text.insert(text.end(), piece.begin(), piece.end());
    const std::size_t each = merge_ ? std::max<std::size_t>(text.size(), 1) : out.segment_size;
    std::size_t at = 0;
    do {
      const std::size_t n = std::min(each, text.size() - at);
      OnTheWay part = what;
      part.header.seq = out.header.seq + static_cast<std::uint32_t>(at);
      const bool last = at + n == text.size();
      if (!last) {
        constexpr auto kEnds = wire::TcpFlags::kFin | wire::TcpFlags::kPsh;
        part.header.flags.bits &= static_cast<std::uint8_t>(~kEnds);
      }
      if (at > 0) part.header.flags.bits &= static_cast<std::uint8_t>(~wire::TcpFlags::kCwr);
      part.text.assign(text.begin() + static_cast<std::ptrdiff_t>(at),
                       text.begin() + static_cast<std::ptrdiff_t>(at + n));
      part.segments = static_cast<std::uint16_t>((n + out.segment_size - 1U) / out.segment_size);
      part.segments = std::max<std::uint16_t>(part.segments, 1);
      at += n;
      path(i, std::move(part), out.segment_size);
    } while (at < text.size());
  }

  void path(int i, OnTheWay what, std::uint16_t segment_size) {
    const std::size_t options = what.header.size() - wire::TcpView::kMinSize;
    const std::size_t payload = std::min<std::size_t>(what.text.size(), segment_size);
    if (payload + options > mtu_ && payload > 0) {
      refused_.push_back({i, what.header.seq});
      return;
    }
    if (end(i).sent.size() < kMostOnTheWay) end(i).sent.push_back(std::move(what));
  }

  // Until neither end has anything to send now. Where a size was refused, what goes again is.
  void work() {
    const auto is_due = [&](const End& e) {
      return e.endpoint && e.endpoint->poll_at(now_) <= now_;
    };
    do {
      for (int i = 0; i < 2; ++i) send(i);
      for (const auto& [whom, seq] : std::exchange(refused_, {})) {
        end(whom).endpoint->packet_too_big(mtu_, seq, now_);
      }
    } while (std::ranges::any_of(ends_, is_due));
  }
  void send(int i) {
    End& e = end(i);
    if (!e.endpoint) return;
    e.witness->drain(*e.endpoint, now_, [&](const OutSegment& out) {
      if (e.refusals > 0) {
        --e.refusals;
        return false;
      }
      onto_path(i, out);
      return true;
    });
    e.witness->check(*e.endpoint);
  }

  void deliver(int i, std::size_t at) {
    std::deque<OnTheWay>& sent = end(i).sent;
    if (at >= sent.size()) return;
    const OnTheWay what = std::move(sent[at]);
    sent.erase(sent.begin() + static_cast<std::ptrdiff_t>(at));
    arrive(1 - i, what);
  }

  void pass(Duration time) {
    // Less than what it takes to lose every keep-alive, the first of what could end a connection.
    if (now_ + time < kStart + 5h) now_ += time;
  }

  void act() {
    const std::uint8_t what = in_.octet();
    const int i = what & 1;
    End& e = end(i);
    switch (what >> 1 & 15) {
      case 0:
        pass(Duration{1ms} * in_.octet());
        break;
      case 1:
        pass(Duration{1s} * in_.octet());
        break;
      case 2:
        if (e.endpoint) pass(std::max<Duration>(e.endpoint->poll_at(now_) - now_, Duration{0}));
        break;
      case 3:
        if (e.endpoint && !e.shut && !e.witness->is_echo() && e.witness->written() < kMostWritten) {
          e.witness->write(*e.endpoint, in_.word(), now_);
        }
        break;
      case 4:
        if (e.endpoint) read(e, in_.word());
        break;
      case 5:
        if (in_.octet() < 64 && e.endpoint && !e.witness->is_echo()) shut(e);
        break;
      case 6: {
        for (int left = 1 + in_.octet() % 16; left > 0; --left) deliver(i, 0);
        break;
      }
      case 7:
        deliver(i, in_.octet());
        break;
      case 8: {
        const std::size_t at = in_.octet();
        if (at < e.sent.size()) e.sent.erase(e.sent.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      }
      case 9:
        e.sent.clear();
        break;
      case 10: {
        const std::size_t at = in_.octet();
        if (at < e.sent.size() && e.sent.size() < kMostOnTheWay) e.sent.push_back(e.sent[at]);
        break;
      }
      case 11: {
        const std::size_t at = in_.octet();
        if (at < e.sent.size() && e.sent[at].ect) e.sent[at].ce = true;
        break;
      }
      case 12:
        mtu_ = static_cast<std::uint16_t>(std::max<int>(in_.word(), 100));
        break;
      case 13:
        e.refusals = in_.octet() % 4;
        break;
      case 14:
        exchange_all();
        break;
      default:  // every other one
        for (std::size_t at = 0; at < e.sent.size(); ++at) deliver(i, at);
    }
  }

  void read(End& e, std::size_t most) {
    if (e.witness->is_echo()) {
      e.witness->echo(*e.endpoint, most, now_);
    } else {
      e.witness->consume(*e.endpoint, most, now_);
    }
  }
  void shut(End& e) {
    if (e.shut) return;
    e.shut = true;
    e.witness->shutdown(*e.endpoint, now_);
  }

  // All that is on the way now arrives, in order, a little later.
  void exchange_all() {
    pass(kDelay);
    for (int i = 0; i < 2; ++i) {
      for (std::size_t left = end(i).sent.size(); left > 0; --left) deliver(i, 0);
    }
  }

  // From now on all is well.
  void finish() {
    mtu_ = UINT16_MAX;
    for (End& e : ends_) e.refusals = 0;
    for (int turn = 0; !over(); ++turn) {
      FUZZ_CHECK(turn < 100'000);
      for (End& e : ends_) {
        if (!e.endpoint) continue;
        read(e, SIZE_MAX);
        // Where the memory of all is spent there is no other call; somebody tries again.
        if (e.endpoint->receive_starved()) e.endpoint->consume(0, now_);
        if (!e.witness->is_echo() || e.endpoint->at_end()) shut(e);
      }
      work();
      Time next = kNever;
      for (int i = 0; i < 2; ++i) {
        if (!end(i).sent.empty()) next = std::min(next, end(i).sent.front().due);
        if (end(i).endpoint) next = std::min(next, end(i).endpoint->poll_at(now_));
      }
      FUZZ_CHECK(next != kNever);  // else they would wait for ever
      now_ = std::max(now_, next);
      for (int i = 0; i < 2; ++i) {
        std::deque<OnTheWay>& sent = end(i).sent;
        while (!sent.empty() && sent.front().due <= now_) deliver(i, 0);
      }
    }
    for (int i = 0; i < 2; ++i) {
      const End& e = end(i);
      FUZZ_CHECK(e.endpoint->end_reason() == EndReason::kNone);
      FUZZ_CHECK(e.endpoint->at_end() && e.endpoint->all_acknowledged());
      FUZZ_CHECK(e.witness->read() == end(1 - i).witness->written());
    }
  }
  [[nodiscard]] bool over() {
    return std::ranges::all_of(ends_, [](const End& e) {
      return e.endpoint && e.endpoint->readable() == 0 &&
             (e.endpoint->finished() || e.endpoint->state() == State::kTimeWait);
    });
  }

  static constexpr Time kStart{Duration{3600s}};

  Input& in_;
  std::array<End, 2> ends_;
  Time now_ = kStart;
  std::uint16_t mtu_ = UINT16_MAX;
  bool both_open_ = false, merge_ = false, echo_ = false;
  std::vector<std::pair<int, wire::SeqNum>> refused_;  // for their size, not told yet
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  Pair(in).run();
  return 0;
}
