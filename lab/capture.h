// Capture: every frame that passes a device of a host, kept in a pcap file.
//
// A thread of its own reads the device, so a capture works where tcpdump cannot give up its
// rights (a user namespace of one user). The file is complete up to stop(), which waits until
// every frame that the kernel has taken is written; frames that the kernel had no room for are
// told by stop(). A test that fails keeps its captures with its folder.
//
// Thread rule: start and stop on one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "lab/host.h"

namespace vtl::lab {

enum class CaptureDirection : std::uint8_t { kBoth, kIn, kOut };

struct CaptureOptions {
  std::filesystem::path file{};  ///< empty: HOST-DEVICE.pcap in the host's folder
  /// pcap-filter(7); empty: everything. Not for directions: libpcap filters a ring's first block
  /// itself and finds neither "inbound" nor "outbound" there, so what came first would be missing.
  std::string filter{};
  CaptureDirection direction = CaptureDirection::kBoth;
  int snap_length = 262'144;  ///< octets kept of each frame
};

struct CaptureResult {
  std::filesystem::path file;
  std::uint64_t frames = 0;   ///< in the file
  std::uint64_t dropped = 0;  ///< for want of room
};

class Capture {
 public:
  /// Once it has returned, every frame is seen.
  [[nodiscard]] static Outcome<Capture> start(Host& host, const std::string& device,
                                              const CaptureOptions& options = {});
  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  [[nodiscard]] const std::filesystem::path& file() const noexcept;
  /// In the file by now.
  [[nodiscard]] std::uint64_t frames() const noexcept;
  CaptureResult stop();

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vtl::lab
