// VTL's rate control plugged into libudt (its option UDT_CC).
//
// libudt makes one control for each connection, accepted ones too, from a factory that it copies
// from the socket that listens. The control translates: libudt's 31-bit sequence numbers to packet
// numbers (rate_control.h) and back pace and window.
//
// Thread rule: libudt calls onPktSent() on the sending thread of the port, everything else on its
// receiving thread. The counters of a port have therefore one writer each.
#pragma once

#include <udt/ccc.h>

#include <cstdint>
#include <optional>

#include "vtl/base/time.h"
#include "vtl/transport/rate_control.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class UdtRateControl final : public CCC {
 public:
  /// `most_packets`: what the send buffer holds. `counters` must outlive libudt.
  UdtRateControl(std::size_t most_packets, RateCounters& counters)
      : most_packets_(most_packets), counters_(counters) {}

  void init() override;
  void onACK(std::int32_t next) override;
  void onLoss(const std::int32_t* list, int size) override;
  void onTimeout() override;
  void onPktSent(const CPacket* packet) override;

 private:
  void apply();

  std::size_t most_packets_;
  RateCounters& counters_;
  std::int32_t first_ = 0;  // the sequence number of packet 0
  std::uint64_t acknowledged_ = 0;
  std::optional<RateControl> control_;
};

/// What setsockopt(UDT_CC) takes.
class UdtRateControlFactory final : public CCCVirtualFactory {
 public:
  UdtRateControlFactory(std::size_t most_packets, RateCounters& counters)
      : most_packets_(most_packets), counters_(counters) {}
  CCC* create() override { return new UdtRateControl(most_packets_, counters_); }
  CCCVirtualFactory* clone() override {
    return new UdtRateControlFactory(most_packets_, counters_);
  }

 private:
  std::size_t most_packets_;
  RateCounters& counters_;
};

}  // namespace vtl::transport
