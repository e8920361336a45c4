// Capture: a decorator that records what passes an interface, as pcapng.
//
// Frames are recorded as they are, super-frames whole; a comment tells what the octets do not: a
// partial checksum, and the segment size of a super-frame. What is read has the direction inbound,
// what was sent outbound; frames that the interface has not taken yet are recorded when it takes
// them. Times are the frames' arrival at VTL.
// Limits: after `max_bytes` of file no more is recorded; the traffic goes on. For looking into
// things, not for full speed: writing a file may block.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "vtl/iface/interface.h"

namespace vtl::iface {

struct CaptureOptions {
  std::size_t snap_length = 0;                       ///< octets kept of each frame; 0: all
  std::uint64_t max_bytes = std::uint64_t{1} << 30;  ///< bound of what is written
  /// Nanoseconds between 1970 and the zero of VTL's clock; unset: as the system's clocks stand.
  std::optional<std::int64_t> epoch{};
};

/// Takes the octets of a pcapng stream, one or more whole blocks at a time; false: the end of the
/// capture.
using CaptureSink = std::function<bool(Bytes)>;

[[nodiscard]] std::unique_ptr<Interface> make_capture(std::unique_ptr<Interface> inner,
                                                      CaptureSink sink,
                                                      const CaptureOptions& options = {});

/// Records into a new file.
[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_capture(std::unique_ptr<Interface> inner,
                                                               const std::string& path,
                                                               const CaptureOptions& options = {});

/// Nanoseconds to add to a Time of SystemClock for the time since 1970, as the clocks stand now.
[[nodiscard]] std::int64_t system_epoch() noexcept;

}  // namespace vtl::iface
