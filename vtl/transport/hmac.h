// HMAC-SHA256 (RFC 2104, FIPS 180-4). Functions; any thread.
#pragma once

#include <array>
#include <cstdint>

#include "vtl/base/bytes.h"

namespace vtl::transport {

inline constexpr std::size_t kMacSize = 32;
using Mac = std::array<std::uint8_t, kMacSize>;

[[nodiscard]] Mac hmac_sha256(Bytes key, Bytes text) noexcept;

}  // namespace vtl::transport
