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

struct CaptureOptions {
  std::filesystem::path file{};  ///< empty: HOST-DEVICE.pcap in the host's folder
  std::string filter{};          ///< pcap-filter(7); empty: everything
  int snap_length = 262'144;     ///< octets kept of each frame
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
