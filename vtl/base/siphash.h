// SipHash-2-4: a keyed hash of short inputs (Aumasson and Bernstein, "SipHash: a fast short-input
// PRF", 2012). Who does not know the key can neither foretell nor provoke a value: for sequence
// numbers and for tables that strangers fill. Thread rule: pure.
#pragma once

#include <array>
#include <cstdint>

#include "vtl/base/bytes.h"

namespace vtl {

using SipKey = std::array<std::uint8_t, 16>;

[[nodiscard]] std::uint64_t siphash(const SipKey& key, Bytes input) noexcept;

}  // namespace vtl
