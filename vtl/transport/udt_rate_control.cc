#include "vtl/transport/udt_rate_control.h"

#include <algorithm>
#include <chrono>

namespace vtl::transport {
namespace {

constexpr std::uint32_t kSequences = 0x80000000U;  // sequence numbers have 31 bits

std::size_t packets_of(double window) {
  constexpr double kMost = 1 << 20;  // packets; the peer's word is no reason for more memory
  return static_cast<std::size_t>(std::clamp(window, RateControl::kLeastWindow, kMost));
}

}  // namespace

void UdtRateControl::init() {
  first_ =
      static_cast<std::int32_t>((static_cast<std::uint32_t>(m_iSndCurrSeqNo) + 1) % kSequences);
  const std::size_t window = std::min(packets_of(m_dMaxCWndSize), most_packets_);
  control_.emplace(window, static_cast<std::uint32_t>(first_), SystemClock().now());
  counters_.connections.add();
  apply();
}

void UdtRateControl::onACK(std::int32_t next) {
  acknowledged_ = std::max(acknowledged_, packet_number(next, first_, acknowledged_));
  control_->on_acknowledged(acknowledged_, SystemClock().now());
  apply();
}

// Single numbers, and pairs of which the first has its highest bit set.
void UdtRateControl::onLoss(const std::int32_t* list, int size) {
  const Time now = SystemClock().now();
  const std::uint64_t lost = control_->lost();
  const std::uint64_t reductions = control_->reductions();
  for (int i = 0; i < size; ++i) {
    const bool range = (static_cast<std::uint32_t>(list[i]) & kSequences) != 0;
    if (range && i + 1 == size) break;
    const std::uint64_t first = packet_number(list[i], first_, acknowledged_);
    const std::uint64_t last = range ? packet_number(list[++i], first_, acknowledged_) : first;
    control_->on_lost(first, last, now);
  }
  counters_.packets_lost.add(control_->lost() - lost);
  counters_.reductions.add(control_->reductions() - reductions);
  apply();
}

void UdtRateControl::onTimeout() {
  control_->on_timeout(SystemClock().now());
  counters_.timeouts.add();
  apply();
}

void UdtRateControl::onPktSent(const CPacket* packet) {
  control_->on_sent(packet_number(packet->m_iSeqNo, first_, control_->next_sent()),
                    SystemClock().now());
  counters_.packets_sent.add();
}

void UdtRateControl::apply() {
  m_dPktSndPeriod = std::chrono::duration<double, std::micro>(control_->interval()).count();
  m_dCWndSize = control_->window();
}

}  // namespace vtl::transport
