// Two endpoints and a bad path between them: whatever the path does, the octets that come out are
// those that went in, both ends finish, and what PairWorld watches holds.
//
// A longer search: RC_PARAMS="max_success=10000"; a plan that fails is shrunk, and told whole.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "tests/property/pair_world.h"

namespace vtl::endpoint {
namespace {

struct Weather {
  const char* name;
  double loss = 0, duplicate = 0, reorder = 0, corrupt = 0;
};

// Uniform whatever size rapidcheck is at; shrinks toward `first`.
std::uint64_t any(std::uint64_t first, std::uint64_t end) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint64_t>(first, end));
}
bool one_in(std::uint64_t n) {
  return any(0, n) == n - 1;
}
Duration any_duration(Duration most) {
  return Duration{static_cast<std::int64_t>(any(0, static_cast<std::uint64_t>(most.count())))};
}

sim::LinkConfig any_link(const Weather& weather, Duration delay) {
  sim::LinkConfig out;
  out.delay = delay;
  if (one_in(3)) out.jitter = delay / 2;
  out.loss = weather.loss;
  out.duplicate = weather.duplicate;
  out.reorder = weather.reorder;
  out.corrupt = weather.corrupt;
  if (one_in(4)) out.mark = 0.05;
  out.merge = one_in(2);
  return out;
}

Config any_config() {
  Config out;
  out.mss = static_cast<std::uint16_t>(any(200, 1500));
  out.offer_timestamps = one_in(2);
  out.offer_window_scale = one_in(2);
  out.offer_sack = one_in(2);
  out.window_scale = static_cast<std::uint8_t>(any(0, 9));
  out.receive_buffer = 1000 + (one_in(2) ? any(0, 200000) : any(0, 8000));
  out.send_buffer = 1000 + (one_in(2) ? any(0, 200000) : any(0, 8000));
  out.receive_buffer_initial = 1000 + any(0, out.receive_buffer);
  out.send_buffer_initial = 1000 + any(0, out.send_buffer);
  if (one_in(2)) out.max_super_frame = out.mss;
  out.nagle = one_in(3);
  out.congestion = one_in(2) ? Congestion::kNewReno : Congestion::kCubic;
  out.ecn = static_cast<Ecn>(any(0, 3));
  out.syn_retries = 20;
  return out;
}

// Sequence numbers begin within 1 MiB of where they wrap, and of where their sign does.
std::uint32_t any_iss() {
  return (one_in(2) ? 0x80000000U : 0U) - static_cast<std::uint32_t>(any(0, 1U << 20));
}

EndPlan any_end() {
  EndPlan out;
  out.config = any_config();
  out.iss = any_iss();
  if (one_in(3)) out.pool_chunks = any(2, 14);
  if (one_in(3)) out.refuse_one_in = any(2, 12);
  if (!one_in(5)) out.to_write = any(0, 150'000);
  if (one_in(3)) {
    out.read_step = any(8, 5000);  // all of it in two hours at the slowest
    out.read_pause = any_duration(400ms);
  }
  return out;
}

// Every plan of a weather; with `narrowing`, the path may come to take smaller segments.
rc::Gen<Plan> any_plan(const Weather& weather) {
  return rc::gen::exec([weather] {
    Plan plan;
    plan.seed = any(0, 1U << 30);
    const Duration delay = any_duration(60ms);
    plan.there = any_link(weather, delay);
    plan.back = any_link(weather, delay);
    for (EndPlan& end : plan.ends) end = any_end();
    if (one_in(5)) {
      plan.narrows_at = any_duration(2s);
      plan.narrow = any(100, 1400);
    }
    return plan;
  });
}

// A patient pair: whoever hangs is found by the limit of virtual time, for nobody gives up; and no
// backed-off retransmission of a FIN comes after TIME-WAIT.
void make_patient(Plan& plan) {
  for (EndPlan& end : plan.ends) end.config.user_timeout = end.config.time_wait = 6h;
}

class EndpointPair : public ::testing::TestWithParam<Weather> {};

TEST_P(EndpointPair, DeliversTheSameBytesBothWaysAndFinishes) {
  EXPECT_TRUE(rc::check([weather = GetParam()] {
    Plan plan = *any_plan(weather);
    make_patient(plan);
    RC_LOG() << plan << "\n";
    PairWorld world(plan);
    if (!world.run(12h)) RC_FAIL(world.standing());
    for (int i = 0; i < 2; ++i) {
      RC_ASSERT(world.endpoint(i).end_reason() == EndReason::kNone);
      RC_ASSERT(world.endpoint(i).at_end());
      RC_ASSERT(world.read(i) == plan.ends[1 - i].to_write);
    }
  }));
}

// Ends lose patience, programs give up, the path is cut for a while: then the connection may end by
// a reset or a timeout, but it ends, and an end that closed in order was not lied to.
TEST_P(EndpointPair, CutOrAbortedItEndsAndWhatWasAcknowledgedIsDelivered) {
  EXPECT_TRUE(rc::check([weather = GetParam()] {
    Plan plan = *any_plan(weather);
    for (EndPlan& end : plan.ends) {
      end.config.user_timeout = 5s + any_duration(60s);
      end.config.keep_alive_idle = 10s + any_duration(60s);
      end.config.keep_alive_interval = 5s;
      if (one_in(3)) end.abort_at = any_duration(5s);
    }
    if (one_in(2)) {
      plan.outage_at = any_duration(3s);
      plan.outage = any_duration(200s);
    }
    RC_LOG() << plan << "\n";
    PairWorld world(plan);
    if (!world.run(12h)) RC_FAIL(world.standing());
    // All of it was acknowledged: so it was there for the other program, which has read it unless
    // it gave up itself.
    for (int i = 0; i < 2; ++i) {
      if (!world.exists(0) || !world.exists(1)) continue;
      if (world.endpoint(i).end_reason() != EndReason::kNone) continue;
      if (plan.ends[1 - i].abort_at) continue;
      if (world.read(1 - i) != world.written(i)) RC_FAIL(world.standing());
    }
  }));
}

INSTANTIATE_TEST_SUITE_P(
    Weather, EndpointPair,
    ::testing::Values(
        Weather{.name = "Fair"}, Weather{.name = "Loss1", .loss = 0.01},
        Weather{.name = "Loss10", .loss = 0.1}, Weather{.name = "Loss25", .loss = 0.25},
        Weather{.name = "Reorder", .reorder = 0.1}, Weather{.name = "Duplicate", .duplicate = 0.2},
        Weather{.name = "Corrupt", .corrupt = 0.05},
        Weather{
            .name = "Everything", .loss = 0.05, .duplicate = 0.1, .reorder = 0.1, .corrupt = 0.02}),
    [](const auto& weather) { return std::string(weather.param.name); });

}  // namespace
}  // namespace vtl::endpoint
