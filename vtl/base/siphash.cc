#include "vtl/base/siphash.h"

#include <bit>

namespace vtl {
namespace {

std::uint64_t load_le(Bytes bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

/// The four words of the paper's section 2.
struct State {
  std::uint64_t v0, v1, v2, v3;

  void half(std::uint64_t& a, std::uint64_t& b, int turn) noexcept {
    a += b;
    b = std::rotl(b, turn) ^ a;
  }
  void round() noexcept {
    half(v0, v1, 13);
    half(v2, v3, 16);
    v0 = std::rotl(v0, 32);
    half(v2, v1, 17);
    half(v0, v3, 21);
    v2 = std::rotl(v2, 32);
  }
  void absorb(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

std::uint64_t siphash(const SipKey& key, Bytes input) noexcept {
  const std::uint64_t k0 = load_le(Bytes(key).first(8));
  const std::uint64_t k1 = load_le(Bytes(key).last(8));
  State s{k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL, k0 ^ 0x6c7967656e657261ULL,
          k1 ^ 0x7465646279746573ULL};
  const std::uint64_t length = input.size();
  for (; input.size() >= 8; input = input.subspan(8)) s.absorb(load_le(input.first(8)));
  s.absorb(load_le(input) | length << 56);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace vtl
