// Byte spans and big-endian loads and stores.
//
// Headers are read and written through these only: no struct is laid over bytes, so alignment and
// aliasing never matter. The caller has checked the bounds; debug builds check them again.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vtl {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

/// The unsigned integer of type T at `offset`, in network byte order.
template <class T>
[[nodiscard]] inline T load_be(Bytes bytes, std::size_t offset) noexcept {
  assert(offset + sizeof(T) <= bytes.size());
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  if constexpr (sizeof(T) > 1 && std::endian::native == std::endian::little) {
    if constexpr (sizeof(T) == 2) value = static_cast<T>(__builtin_bswap16(value));
    if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  }
  return value;
}

/// Writes `value` at `offset` in network byte order.
template <class T>
inline void store_be(MutableBytes bytes, std::size_t offset, T value) noexcept {
  assert(offset + sizeof(T) <= bytes.size());
  if constexpr (sizeof(T) > 1 && std::endian::native == std::endian::little) {
    if constexpr (sizeof(T) == 2) value = static_cast<T>(__builtin_bswap16(value));
    if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  }
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

[[nodiscard]] inline std::uint8_t load_u8(Bytes b, std::size_t at) noexcept {
  return load_be<std::uint8_t>(b, at);
}
[[nodiscard]] inline std::uint16_t load_be16(Bytes b, std::size_t at) noexcept {
  return load_be<std::uint16_t>(b, at);
}
[[nodiscard]] inline std::uint32_t load_be32(Bytes b, std::size_t at) noexcept {
  return load_be<std::uint32_t>(b, at);
}
[[nodiscard]] inline std::uint64_t load_be64(Bytes b, std::size_t at) noexcept {
  return load_be<std::uint64_t>(b, at);
}
inline void store_u8(MutableBytes b, std::size_t at, std::uint8_t v) noexcept {
  store_be(b, at, v);
}
inline void store_be16(MutableBytes b, std::size_t at, std::uint16_t v) noexcept {
  store_be(b, at, v);
}
inline void store_be32(MutableBytes b, std::size_t at, std::uint32_t v) noexcept {
  store_be(b, at, v);
}
inline void store_be64(MutableBytes b, std::size_t at, std::uint64_t v) noexcept {
  store_be(b, at, v);
}

}  // namespace vtl
