// What a segment costs in the endpoint: process() with consume(), and write() with dispatch(), for
// super-frames and for full segments. Two endpoints are joined without a path, so each figure is of
// both ends of one transfer: sender, receiver, and the acknowledgement back.
#include <benchmark/benchmark.h>

#include <array>
#include <optional>
#include <vector>

#include "vtl/endpoint/endpoint.h"

namespace {

using namespace vtl;
using namespace vtl::endpoint;

class Pair {
 public:
  explicit Pair(std::size_t super_frame) : pool_(std::size_t{64} << 20) {
    config_.pool = &pool_;
    config_.max_super_frame = super_frame;
    config_.receive_buffer = config_.send_buffer = std::size_t{4} << 20;
    sender_ = Endpoint::connect(config_, {wire::Port(1), wire::Port(2)}, wire::SeqNum(1), now_);
    for (int i = 0; i < 4; ++i) turn();
  }

  /// Writes `octets` and lets them arrive; answers how many were read.
  std::size_t transfer(Bytes octets) {
    (void)sender_->write(octets, now_);
    now_ += 20us;
    return turn();
  }

 private:
  std::size_t turn() {
    sender_->dispatch(now_, [&](const OutSegment& out) {
      deliver(receiver_, out);
      return true;
    });
    std::size_t read = 0;
    if (receiver_) {
      while (receiver_->readable() > 0) {
        const std::size_t n = receiver_->peek().size();
        receiver_->consume(n, now_);
        read += n;
      }
      receiver_->dispatch(now_, [&](const OutSegment& out) {
        deliver(sender_, out);
        return true;
      });
    }
    return read;
  }

  void deliver(std::optional<Endpoint>& to, const OutSegment& out) {
    std::size_t size = 0;
    for (const Bytes piece : out.payload) {  // as the frame that carries it would be written
      std::copy(piece.begin(), piece.end(), frame_.begin() + static_cast<std::ptrdiff_t>(size));
      size += piece.size();
    }
    Segment in;
    in.header = out.header;
    in.payload = Bytes(frame_).first(size);
    in.segments = static_cast<std::uint16_t>(
        std::max<std::size_t>(1, (size + out.segment_size - 1) / out.segment_size));
    if (to) {
      to->process(in, now_);
    } else {
      to = Endpoint::accept_syn(config_, {wire::Port(2), wire::Port(1)}, wire::SeqNum(9), in, false,
                                now_);
    }
  }

  Time now_{Duration{1s}};
  ChunkPool pool_;
  Config config_;
  std::vector<std::uint8_t> frame_ = std::vector<std::uint8_t>(65536);
  std::optional<Endpoint> sender_, receiver_;
};

// range(0): octets of a write; range(1): octets of the largest emitted segment.
void transfer(benchmark::State& state) {
  Pair pair(static_cast<std::size_t>(state.range(1)));
  const std::vector<std::uint8_t> text(static_cast<std::size_t>(state.range(0)), 'x');
  std::size_t octets = 0;
  for (auto _ : state) octets += pair.transfer(text);
  state.SetBytesProcessed(static_cast<std::int64_t>(octets));
}
BENCHMARK(transfer)
    ->ArgNames({"write", "segment"})
    ->Args({64000, 65000})
    ->Args({64000, 1460})
    ->Args({64, 1460});

}  // namespace

BENCHMARK_MAIN();
