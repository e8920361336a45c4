// Capture files as interfaces: frames come from one file and go to another.
//
// Reading takes pcap and pcapng of Ethernet, through libpcap: at full speed, or at the pace that
// was recorded. Frames that the file holds only in part are dropped as kRxTruncated. At the end of
// the file read() says kClosed; a damaged file ends where it is damaged, and kRxError is counted.
// Writing makes pcapng, or classic pcap (nanoseconds) when the name ends in ".pcap". What is
// written is wire frames: super-frames are cut, checksums finished. Without a file to write to
// frames are dropped as kNoRoute. Files may block: this interface is for tests, replay and offline
// work.
#pragma once

#include <memory>
#include <string>

#include "vtl/iface/interface.h"

namespace vtl::iface {

enum class Pace : std::uint8_t {
  kFullSpeed,  ///< all that is there, at once; fd() is -1
  kRecorded,   ///< each frame as long after the first read() as it was after the first frame
};

struct PcapFileOptions {
  std::string read{};   ///< empty: nothing is read
  std::string write{};  ///< empty: nothing is written
  Pace pace = Pace::kFullSpeed;
  /// Nanoseconds between 1970 and the zero of VTL's clock, for writing; unset: as the system's
  /// clocks stand.
  std::optional<std::int64_t> epoch{};
};

[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_pcap_file(const PcapFileOptions& options);

}  // namespace vtl::iface
