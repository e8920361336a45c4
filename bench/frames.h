// Small frames: a sender and a receiver of frames of the least size, in a closed loop.
//
// What it measures is processor time per frame. An open loop would measure how frames are dropped;
// here the sender never has more than a window of frames on the way: the receiver tells how far it
// has come, every so many frames. So no queue on the way overflows, whatever its speed, and all
// cases carry the same number of frames.
//
// Wire format, UDP over IPv4, one frame of 60 octets each (64 with the checksum of the wire): the
// number of the frame and 14 octets of nothing toward the receiver; how many it has seen and the
// highest number plus one toward the sender. kLast asks for the last account.
//
// Thread rule: each call blocks its thread until the end, which is bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vtl/base/result.h"

namespace vtl::bench {

struct FrameRun {
  std::string server;  ///< address
  std::uint16_t port = 9;
  std::uint32_t count = 200'000;
  std::uint32_t window = 256;  ///< frames on the way at most
};

struct FrameReport {
  std::uint32_t sent = 0;
  std::uint32_t delivered = 0;
  double seconds = 0;
};

/// Sends run.count frames and waits for the receiver's account.
[[nodiscard]] Outcome<FrameReport> send_frames(const FrameRun& run);
/// Receives on `port` until a sender has ended, or for 20 s without one.
[[nodiscard]] Outcome<void> receive_frames(std::uint16_t port);

/// "sent delivered seconds", as the sending program prints it.
[[nodiscard]] std::string to_line(const FrameReport& report);
[[nodiscard]] Outcome<FrameReport> parse_frame_report(std::string_view line);

}  // namespace vtl::bench
