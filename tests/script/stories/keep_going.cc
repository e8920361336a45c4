// What keeps a connection going that has nothing to send, or may not: zero-window probes (RFC 9293
// section 3.8.6.1, RFC 1122 section 4.2.2.17) and keep-alives (section 3.8.4).
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::uint32_t kMss = 1460;
constexpr std::uint32_t kEdge = 2 * kMss + 1;

// The peer took two segments and shut its window; two more wait.
Script shut() {
  Script s(plain(), {.window = 2 * kMss});
  s.established().write(4 * kMss).expect_stream(1, 2 * kMss);
  s.send(seg().ack(kEdge).win(0)).quiet();
  return s;
}

Script& expect_probe(Script& s, double ms) {
  return s
      .kernel_differs("its probe bears no text, but the last number that was acknowledged",
                      {seg().seq(kEdge - 1).len(0)})
      .later(ms, {seg().seq(kEdge).len(1)});
}

STORY(ZeroWindow, Closed_ProbedWithOneOctetAndDoubling) {
  Script s = shut();
  for (const double ms : {200, 400}) {
    expect_probe(s, ms);
    s.send(seg().ack(kEdge).win(0)).quiet();
  }
  expect_probe(s, 800);
  s.counts(&EndpointStats::zero_window_probes, 3).counts(&EndpointStats::timeouts, 0);
}

STORY(ZeroWindow, ProbesUnanswered_TheyDouble) {
  Script s = shut();
  for (const double ms : {200, 400}) expect_probe(s, ms);
}

ENDPOINT_STORY(ZeroWindow, AnsweredForADay_StaysOpen, "the kernel's clock is real") {
  Script s = shut();
  while (s.now() < Time{} + 24h) {
    s.until_sent(200'000);
    const auto sent = s.take();
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_EQ(sent[0].data.size(), 1U);
    s.send(seg().ack(kEdge).win(0));
  }
  s.state(State::kEstablished);
  s.send(seg().ack(kEdge).win(kMss)).expect({seg().seq(kEdge).len(kMss)});
}

ENDPOINT_STORY(ZeroWindow, Unanswered_TimedOut, "the kernel's clock is real") {
  Config config = plain();
  config.user_timeout = 60s;
  Script s(config, {.window = 1000});
  s.established().write(3000).swallow();
  s.send(seg().ack(1001).win(0)).quiet();
  for (int i = 0; i < 30 && s.endpoint().state() != State::kClosed; ++i) {
    s.until_sent(100'000);
    s.swallow();
  }
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

ENDPOINT_STORY(ZeroWindow, ProbeTaken_TheNextOctetFollows, "the kernel's probe bears no octet") {
  Script s = shut();
  s.later(200, {seg().seq(kEdge).len(1)});
  s.send(seg().ack(kEdge + 1).win(0)).quiet();
  s.until_sent(60'000);
  s.expect({seg().seq(kEdge + 1).len(1)});
  s.send(seg().ack(kEdge + 1).win(5000)).expect_stream(kEdge + 1, 2 * kMss - 1);
}

STORY(ZeroWindow, Reopened_DataFromTheEdgeOn) {
  Script s = shut();
  expect_probe(s, 200);
  s.send(seg().ack(kEdge).win(2 * kMss)).expect_stream(kEdge, 2 * kMss);
}

STORY(ZeroWindow, ReopenedBeforeAnyProbe_DataAtOnce) {
  Script s = shut();
  s.send(seg().ack(kEdge).win(2 * kMss)).expect_stream(kEdge, 2 * kMss);
  s.send(seg().ack(kEdge + 2 * kMss)).quiet().after(500).quiet();
}

STORY(ZeroWindow, ReopenedByALittle_NotUsedYet) {
  Script s = shut();
  s.send(seg().ack(kEdge).win(400)).quiet();
  s.later(200, {seg().seq(kEdge).len(400)});
}

STORY(ZeroWindow, WrittenWhileShut_NothingIsPoured) {
  Script s(plain(), {.window = 2 * kMss});
  s.flight(2 * kMss).send(seg().ack(kEdge).win(0)).quiet();
  s.write(100).quiet().write(100).quiet();
  expect_probe(s, 200);
}

STORY(ZeroWindow, OnlyTheFinWaits_FinIsTheProbe) {
  Script s(plain(), {.window = 2 * kMss});
  s.flight(2 * kMss).shutdown().quiet();
  s.send(seg().ack(kEdge).win(0)).quiet();
  s.kernel_differs("its probe bears no FIN", {seg().seq(kEdge - 1).flags("A").len(0)});
  s.later(200, {seg().seq(kEdge).flags("FA").len(0)});
}

STORY(ZeroWindow, ShrunkOverOutstandingData_ProbedNotPouredAndSentAgainWhenItOpens) {
  Script s;
  s.flight(4 * kMss);
  s.send(seg().ack(1461).win(0)).quiet();
  const char* why = "what is outstanding is its probe, all of a segment";
  s.kernel_differs(why, {seg().seq(1461).len(kMss)}).later(200, {seg().seq(1461).len(1)});
  s.send(seg().ack(1461).win(0)).quiet();
  s.kernel_differs(why, {seg().seq(1461).len(kMss)}).later(400, {seg().seq(1461).len(1)});
  s.kernel_differs("it is in slow start after its timeouts", {seg().seq(1461).len(kMss).again()});
  s.send(seg().ack(1461).win(60'000))
      .expect({seg().seq(1461).len(1460).again(), seg().seq(2921).len(1460).again(),
               seg().seq(4381).len(1460).again()});
  s.send(seg().ack(5841)).quiet().after(500).quiet();
}

STORY(ZeroWindow, ReopenedWithTextOfThePeer_DataAtOnce) {
  Script s = shut();
  s.send(seg().data("more").ack(kEdge).win(2 * kMss)).expect_stream(kEdge, 2 * kMss);
}

STORY(ZeroWindow, ShutBeforeAnythingIsOutstanding_ProbedAfterTheTimeout) {
  Script s(plain(), {.window = 2 * kMss});
  s.established().send(seg().len(10).win(0)).swallow();
  s.write(100).quiet();
  s.kernel_differs("its probe bears no text, but the last number that was acknowledged",
                   {seg().seq(0).len(0)});
  s.later(200, {seg().seq(1).len(1)});
}

STORY(ZeroWindow, AnswerMovesNothing_NothingIsSentBeyondIt) {
  Script s = shut();
  for (int i = 0; i < 5; ++i) s.send(seg().ack(kEdge).win(0)).quiet();
  s.send(seg().len(100).ack(kEdge).win(0)).expect({seg().seq(kEdge).ack(101).len(0)});
}

ENDPOINT_STORY(KeepAlive, Off_SilenceForEver, "the kernel's clock is real") {
  Script s;
  s.established().after(30.0 * 24 * 3600 * 1000).quiet().state(State::kEstablished);
}

Config keeping(Duration idle, Duration interval) {
  Config config = plain();
  config.keep_alive_idle = idle;
  config.keep_alive_interval = interval;
  config.keep_alive_probes = 3;
  return config;
}

STORY(KeepAlive, Idle_ProbeBelowTheNextSequenceNumber) {
  Script s(keeping(1s, 1s));
  s.established().later(1000, {seg().seq(0).ack(1).flags("A").len(0)});
  s.send(seg()).quiet();
  s.later(1000, {seg().seq(0).ack(1).flags("A").len(0)});
}

STORY(KeepAlive, Unanswered_ResetAfterAllProbes) {
  Config config = keeping(1s, 1s);
  config.keep_alive_probes = 1;
  Script s(config);
  s.established().later(1000, {seg().seq(0)});
  s.later(1000, {seg().seq(1).flags("RA")});
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

ENDPOINT_STORY(KeepAlive, ThreeUnanswered_Dead, "the kernel's clock is real") {
  Script s(keeping(60s, 10s));
  s.established().at(60'000).expect({seg().seq(0)});
  s.at(70'000).expect({seg().seq(0)});
  s.at(80'000).expect({seg().seq(0)});
  s.at(90'000).expect({seg().seq(1).flags("RA")});
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

ENDPOINT_STORY(KeepAlive, OneProbeUnanswered_NotDead, "the kernel's clock is real") {
  Script s(keeping(60s, 10s));
  s.established().at(60'000).expect({seg().seq(0)});
  s.at(70'000).expect({seg().seq(0)});
  s.send(seg()).at(129'999).quiet().state(State::kEstablished);
}

ENDPOINT_STORY(KeepAlive, DataOutstanding_RetransmissionRulesInstead,
               "the kernel's clock is real") {
  Script s(keeping(60s, 10s));
  s.flight(100);
  for (int i = 0; i < 8; ++i) {
    s.until_sent(100'000);
    for (const auto& sent : s.take()) EXPECT_EQ(sent.data.size(), 100U);
  }
}

}  // namespace
}  // namespace vtl::endpoint::script
