// Uses what the package promises to whoever writes a program on VTL, from several rooms.
#include <vtl/base/time.h>
#include <vtl/base/timer_wheel.h>
#include <vtl/wire/seq.h>

#include <cstdio>

int main() {
  vtl::ManualClock clock;
  vtl::TimerWheel wheel(vtl::Duration{1'000'000}, clock.now());
  int fired = 0;
  vtl::Timer timer([&fired] { ++fired; });
  wheel.arm(timer, clock.now() + vtl::Duration{5'000'000});
  clock.advance(vtl::Duration{6'000'000});
  wheel.advance(clock.now());

  const vtl::wire::SeqNum before(0xffffffff);
  const bool wraps = before < before + 2;
  std::printf("timer fired %d times, sequence numbers wrap: %d\n", fired, wraps);
  return fired == 1 && wraps ? 0 : 1;
}
