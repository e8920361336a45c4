// Seeded pseudo-random numbers: xoshiro256** 1.0 (Blackman and Vigna, 2018), seeded by splitmix64.
//
// Deterministic for a seed, on every machine: impairments, tests and the simulator repeat exactly.
// Not for secrets: keys, nonces and initial sequence numbers come from the operating system.
// Thread rule: one thread per Rng.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace vtl {

__extension__ using Wide = unsigned __int128;  // NOLINT: gcc and clang both have it.

class Rng {
 public:
  explicit constexpr Rng(std::uint64_t seed) noexcept {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  /// 64 uniform bits.
  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Uniform in [0, bound); 0 when bound is 0.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }

  /// Uniform in [0, 1).
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// True with probability p.
  constexpr bool chance(double p) noexcept { return p > 0 && unit() < p; }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace vtl
