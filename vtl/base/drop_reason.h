// DropReason: why a frame was let go. The list is drop_reason.def; every drop is counted by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vtl {

enum class DropReason : std::uint8_t {
#define VTL_DROP(id, name, severity, meaning) k##id,
#include "vtl/base/drop_reason.def"
#undef VTL_DROP
  kCount
};

enum class Severity : std::uint8_t { kNormal, kWarning, kError };

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::kCount);

/// The name in counters and listings, e.g. "malformed-ip".
[[nodiscard]] std::string_view name(DropReason reason) noexcept;
[[nodiscard]] Severity severity(DropReason reason) noexcept;
/// One line for a person.
[[nodiscard]] std::string_view meaning(DropReason reason) noexcept;

}  // namespace vtl
