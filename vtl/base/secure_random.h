// Random octets from the operating system: keys, nonces, initial sequence numbers.
// Thread rule: any thread.
#pragma once

#include <cstdint>

#include "vtl/base/bytes.h"

namespace vtl {

/// Fills `out` from the kernel's generator; blocks only before the machine has gathered entropy.
void fill_random(MutableBytes out);

/// 32 random bits.
[[nodiscard]] std::uint32_t random_u32();

}  // namespace vtl
