// End: one of the two ends of a connection that a model follows.
//
// A is the end that sent the frame from which the model was made, B the other. Nothing else tells
// them apart: whatever a model does for A it does for B with the ends swapped, in the same code.
#pragma once

#include <cstdint>
#include <string_view>

namespace vtl::model {

enum class End : std::uint8_t { kA = 0, kB = 1 };

[[nodiscard]] constexpr End other(End end) noexcept {
  return end == End::kA ? End::kB : End::kA;
}
[[nodiscard]] constexpr std::size_t index(End end) noexcept {
  return static_cast<std::size_t>(end);
}

/// Why create() made no frame.
enum class CreateError : std::uint8_t {
  kNoRoom,           ///< the buffer is smaller than the frame would be
  kPayloadTooLarge,  ///< more than the MSS, or than an IP packet carries
  kWindowFull,       ///< the payload lies beyond the window that the other end has opened
  kNotSynchronised,  ///< this end's sequence number, or the other's, is not known
  kClosed,           ///< this end has sent its FIN, or the connection was reset
};
[[nodiscard]] std::string_view to_string(CreateError error) noexcept;

}  // namespace vtl::model
