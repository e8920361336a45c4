// Microbenchmarks of the packet room: what is done once per frame or once per super-frame.
#include <benchmark/benchmark.h>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/segment.h"

namespace vtl {
namespace {

using test::make_frame;

constexpr std::size_t kSuperPayload = 65'160;  // 45 segments of 1448
constexpr std::uint16_t kSegment = 1448;

test::FrameSpec super_spec() {
  return {
      .tcp_options = test::Octets(12, 1), .payload = test::pattern(kSuperPayload), .finish = false};
}

Packet super_frame(PacketPool& pool) {
  Packet p = pool.copy_of(make_frame(super_spec()));
  p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = kSegment};
  return p;
}

void parse(benchmark::State& state, const test::FrameSpec& spec) {
  const test::Octets frame = make_frame(spec);
  for (auto _ : state) {
    benchmark::DoNotOptimize(parse_layout(frame, false));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(parse, tcp4, test::FrameSpec{.payload = test::Octets(1448)});
BENCHMARK_CAPTURE(parse, tcp6_tagged, test::FrameSpec{.v6 = true, .vlans = {5}});

void key_and_hash(benchmark::State& state, bool v6) {
  const test::Octets frame = make_frame({.v6 = v6});
  const Layout layout = parse_layout(frame, false);
  for (auto _ : state) {
    benchmark::DoNotOptimize(wire::symmetric_hash(*flow_key(frame, layout)));
  }
}
BENCHMARK_CAPTURE(key_and_hash, v4, false);
BENCHMARK_CAPTURE(key_and_hash, v6, true);

void finish(benchmark::State& state) {
  PacketPool pool;
  const auto payload = static_cast<std::size_t>(state.range(0));
  Packet p = pool.copy_of(make_frame({.payload = test::pattern(payload), .finish = false}));
  for (auto _ : state) {
    p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
    benchmark::DoNotOptimize(finish_checksum(p));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * payload));
}
BENCHMARK(finish)->Arg(0)->Arg(1448)->Arg(kSuperPayload);

void cut_super_frame(benchmark::State& state) {
  PacketPool pool;
  const Packet p = super_frame(pool);
  Batch out;
  for (auto _ : state) {
    benchmark::DoNotOptimize(segment(p, pool, out));
    out.clear();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kSuperPayload));
}
BENCHMARK(cut_super_frame);

void rewrite_address_and_port(benchmark::State& state) {
  PacketPool pool;
  Packet p = pool.copy_of(make_frame({}));
  std::uint16_t i = 0;
  for (auto _ : state) {
    set_source_address(p, wire::Ipv4Address(10, 0, 0, static_cast<std::uint8_t>(i)));
    set_source_port(p, wire::Port(++i));
  }
}
BENCHMARK(rewrite_address_and_port);

void pool_cycle(benchmark::State& state) {
  PacketPool pool;
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(pool.allocate(size));
}
BENCHMARK(pool_cycle)->Arg(60)->Arg(kMaxFrame);

}  // namespace
}  // namespace vtl

BENCHMARK_MAIN();
