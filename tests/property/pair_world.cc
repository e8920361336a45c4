#include "tests/property/pair_world.h"

#include <fmt/core.h>

#include <algorithm>
#include <ostream>

namespace vtl::endpoint {
namespace {

constexpr const char* kNames[] = {"client", "server"};

std::uint8_t octet(int end, std::size_t at) {
  return static_cast<std::uint8_t>((at * 2654435761U + static_cast<unsigned>(end)) >> 7);
}

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

Segment segment_of(const sim::WireSegment& in) {
  Segment out;
  out.header = in.header;
  out.payload = Bytes(reinterpret_cast<const std::uint8_t*>(in.data.data()), in.data.size());
  out.segments = in.segments;
  out.ce = in.ce;
  return out;
}

std::string to_text(const sim::LinkConfig& link) {
  return fmt::format(
      "delay {} s, jitter {} s, loss {}, duplicate {}, reorder {}, corrupt {}, mark {}{}",
      seconds(link.delay), seconds(link.jitter), link.loss, link.duplicate, link.reorder,
      link.corrupt, link.mark, link.merge ? ", merged" : "");
}

std::string to_text(const EndPlan& end) {
  const Config& c = end.config;
  return fmt::format(
      "iss {:#x}, mss {}, buffers {} and {}{}{}{}, ecn {}, {}, super-frames of {}{}; pool of {} "
      "chunks; writes {}, reads {} each {} s, interface full for one in {}{}",
      end.iss, c.mss, c.receive_buffer, c.send_buffer, c.offer_sack ? ", sack" : "",
      c.offer_timestamps ? ", timestamps" : "",
      c.offer_window_scale ? fmt::format(", scale {}", c.window_scale) : "",
      static_cast<int>(c.ecn), c.congestion == Congestion::kCubic ? "cubic" : "newreno",
      c.max_super_frame, c.nagle ? ", nagle" : "", end.pool_chunks, end.to_write, end.read_step,
      seconds(end.read_pause), end.refuse_one_in,
      end.abort_at ? fmt::format(", aborts after {} s", seconds(*end.abort_at)) : "");
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Plan& plan) {
  out << "seed " << plan.seed << "\n  there: " << to_text(plan.there)
      << "\n  back: " << to_text(plan.back) << "\n  client: " << to_text(plan.ends[0])
      << "\n  server: " << to_text(plan.ends[1]);
  if (plan.outage > Duration::zero()) {
    out << fmt::format("\n  nothing passes for {} s after {} s", seconds(plan.outage),
                       seconds(plan.outage_at));
  }
  if (plan.narrows_at) {
    out << fmt::format("\n  segments of {} at most after {} s", plan.narrow,
                       seconds(*plan.narrows_at));
  }
  return out;
}

PairWorld::PairWorld(const Plan& plan)
    : plan_(plan),
      rng_(plan.seed),
      links_{sim::Link(plan.there, plan.seed * 2 + 1), sim::Link(plan.back, plan.seed * 2 + 2)} {
  for (int i = 0; i < 2; ++i) {
    ends_[i].read_at = kStart;
    if (const std::size_t chunks = plan.ends[i].pool_chunks; chunks > 0) {
      ends_[i].pool = std::make_unique<ChunkPool>(chunks * ChunkPool::kChunk);
    }
  }
  ends_[0].endpoint =
      Endpoint::connect(config(0), identity(0), wire::SeqNum(plan.ends[0].iss), now_);
}

Config PairWorld::config(int i) const {
  Config out = plan_.ends[i].config;
  out.pool = ends_[i].pool.get();
  return out;
}

Endpoint::Identity PairWorld::identity(int i) const {
  constexpr wire::Port kPorts[] = {wire::Port(4000), wire::Port(80)};
  return {kPorts[i], kPorts[1 - i]};
}

void PairWorld::fail(int i, const std::string& what) {
  if (failure_.empty()) failure_ = fmt::format("{} {}", kNames[i], what);
}

std::string PairWorld::standing() const {
  std::string text = fmt::format("{}, after {:.3f} s", failure_.empty() ? "all kept" : failure_,
                                 seconds(now_ - kStart));
  for (int i = 0; i < 2; ++i) {
    const End& end = ends_[i];
    if (!end.endpoint) continue;
    text += fmt::format(
        "; {} {} ({}), wrote {} of {}, read {}, unread {}, writable {}, pool {}, wakes after {} ms",
        kNames[i], to_string(end.endpoint->state()), to_string(end.endpoint->end_reason()),
        end.written, plan_.ends[i].to_write, end.read, end.endpoint->readable(),
        end.endpoint->writable(), end.pool ? end.pool->bytes_in_use() : 0,
        (end.endpoint->poll_at(now_) - now_) / 1ms);
  }
  return text;
}

bool PairWorld::run(Duration limit) {
  const Time stop = kStart + limit;
  for (std::size_t turn = 0; turn < 5'000'000; ++turn) {
    change_path();
    for (int i = 0; i < 2; ++i) program(i);
    for (int i = 0; i < 2; ++i) dispatch(i);
    if (!failure_.empty()) return false;
    if (done(0) && done(1)) return true;
    const Time next = next_event();
    if (next == kNever || next > stop) return false;
    now_ = std::max(now_, next);
    for (int i = 0; i < 2; ++i) {
      while (auto in = links_[i].pop(now_)) deliver(1 - i, *in);
    }
  }
  fail(0, "never comes to an end of events");
  return false;
}

Time PairWorld::next_event() const {
  Time next = std::min(links_[0].next(), links_[1].next());
  for (int i = 0; i < 2; ++i) {
    const End& end = ends_[i];
    if (!end.endpoint) continue;
    next = std::min(next, end.endpoint->poll_at(now_));
    if (end.endpoint->readable() > 0) next = std::min(next, end.read_at);
    if (plan_.ends[i].abort_at && !end.aborted) {
      next = std::min(next, kStart + *plan_.ends[i].abort_at);
    }
  }
  return next;
}

// The passive end of a connection that ended before its SYN arrived never comes to be.
bool PairWorld::done(int i) const {
  const auto& e = ends_[i].endpoint;
  if (!e) return ends_[1 - i].endpoint->finished() && links_[0].next() == kNever;
  return (e->finished() || e->state() == State::kTimeWait) && e->readable() == 0;
}

bool PairWorld::out() const noexcept {
  return now_ >= kStart + plan_.outage_at && now_ < kStart + plan_.outage_at + plan_.outage;
}

void PairWorld::change_path() {
  if (plan_.narrows_at && now_ >= kStart + *plan_.narrows_at) {
    for (sim::Link& link : links_) link.set_largest(plan_.narrow);
  }
}

void PairWorld::program(int i) {
  End& end = ends_[i];
  if (!end.endpoint) return;
  if (plan_.ends[i].abort_at && !end.aborted && now_ >= kStart + *plan_.ends[i].abort_at) {
    end.aborted = true;
    if (!end.endpoint->finished()) end.endpoint->abort(now_);
  }
  if (now_ >= end.read_at) read_some(i);
  write(i);
}

void PairWorld::write(int i) {
  End& end = ends_[i];
  while (end.written < plan_.ends[i].to_write) {
    std::uint8_t chunk[3000];
    const std::size_t want =
        std::min<std::size_t>(plan_.ends[i].to_write - end.written, 1 + rng_.below(sizeof chunk));
    for (std::size_t k = 0; k < want; ++k) chunk[k] = octet(i, end.written + k);
    const std::size_t n = end.endpoint->write(Bytes(chunk, want), now_);
    end.written += n;
    if (n < want) return;
  }
  if (!end.shut) {
    end.shut = true;
    end.endpoint->shutdown(now_);
  }
}

void PairWorld::read_some(int i) {
  End& end = ends_[i];
  std::size_t budget = plan_.ends[i].read_step == 0 ? SIZE_MAX : plan_.ends[i].read_step;
  while (budget > 0 && end.endpoint->readable() > 0) {
    const Bytes bytes = end.endpoint->peek();
    const std::size_t n = std::min(bytes.size(), budget);
    for (std::size_t k = 0; k < n; ++k) {
      if (bytes[k] == octet(1 - i, end.read + k)) continue;
      return fail(i, fmt::format("reads a wrong octet at {}", end.read + k));
    }
    end.endpoint->consume(n, now_);
    end.read += n;
    budget -= n;
  }
  end.read_at = now_ + plan_.ends[i].read_pause;
}

void PairWorld::dispatch(int i) {
  End& end = ends_[i];
  if (!end.endpoint) return;
  const std::uint64_t refuse_one_in = plan_.ends[i].refuse_one_in;
  for (int turn = 0; end.endpoint->poll_at(now_) <= now_; ++turn) {
    if (turn == 10000) return fail(i, "wants to run now, and dispatch() moves nothing");
    end.endpoint->dispatch(now_, [&](const OutSegment& segment) {
      if (refuse_one_in > 0 && rng_.below(refuse_one_in) == 0) return false;
      check(i, segment);
      if (!out()) links_[i].push(segment, now_);
      return true;
    });
    if (const auto seq = links_[i].take_too_large()) {
      end.endpoint->packet_too_big(static_cast<std::uint16_t>(plan_.narrow), *seq, now_);
    }
    if (!failure_.empty()) return;
  }
  const Config& config = plan_.ends[i].config;
  const std::size_t bound =
      config.receive_buffer + config.send_buffer + 4 * ChunkPool::kChunk + 16384;
  if (end.endpoint->memory() > bound) {
    fail(i, fmt::format("holds {} octets, more than {}", end.endpoint->memory(), bound));
  }
}

void PairWorld::check(int i, const OutSegment& out) {
  sim::cut(out, [&](const sim::WireSegment& one) {
    const auto read_back = sim::from_octets(sim::to_octets(one));
    if (!read_back || read_back->header != one.header || read_back->data != one.data) {
      fail(i, "sends what a header cannot hold: " + to_string(one.header));
    }
  });
  if (out.payload_size > 0 && out.segment_size > plan_.ends[i].config.mss) {
    fail(i, fmt::format("sends segments of {}", out.segment_size));
  }
  check_window(i, out);
}

void PairWorld::check_window(int i, const OutSegment& out) {
  End& end = ends_[i];
  const End& peer = ends_[1 - i];
  const wire::TcpFields& h = out.header;
  if (h.flags.syn()) end.syn_options = h.options;
  const bool scaled =
      !h.flags.syn() && end.syn_options.window_scale && peer.syn_options.window_scale;
  if (h.flags.ack() && !h.flags.rst()) {
    const wire::SeqNum edge = h.ack + (static_cast<std::uint32_t>(h.window)
                                       << (scaled ? *end.syn_options.window_scale : 0));
    end.edge = end.edge ? max(*end.edge, edge) : edge;
  }
  if (out.payload_size == 0) return;
  if (!peer.edge) return fail(i, "sends data before the peer offered a window");
  const wire::SeqNum last = h.seq + static_cast<std::uint32_t>(out.payload_size);
  const std::int32_t beyond = last - *peer.edge;
  if (beyond > (out.payload_size == 1 ? 1 : 0)) {
    fail(i, fmt::format("sends {} octets beyond the window", beyond));
  }
}

void PairWorld::deliver(int i, const sim::WireSegment& in) {
  const Segment segment = segment_of(in);
  End& end = ends_[i];
  if (!end.endpoint) {
    if (!in.header.flags.syn() || in.header.flags.ack()) return;
    end.endpoint = Endpoint::accept_syn(config(i), identity(i), wire::SeqNum(plan_.ends[i].iss),
                                        segment, false, now_);
  } else if (end.endpoint->state() == State::kClosed) {  // what the table does without a connection
    if (auto reset = reset_for(segment)) {
      OutSegment answer;
      answer.header = *reset;
      answer.segment_size = kDefaultMss;
      if (!out()) links_[i].push(answer, now_);
    }
  } else {
    end.endpoint->process(segment, now_);
  }
}

}  // namespace vtl::endpoint
