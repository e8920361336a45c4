// SeqNum: a TCP sequence number, compared modulo 2^32 (RFC 9293 section 3.4).
//
// Arithmetic wraps and never aborts. "Before" and "after" mean anything only for numbers less than
// 2^31 apart, which the window rules guarantee.
#pragma once

#include <cstdint>

namespace vtl::wire {

class SeqNum {
 public:
  constexpr SeqNum() = default;
  constexpr explicit SeqNum(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }

  friend constexpr SeqNum operator+(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ + n); }
  friend constexpr SeqNum operator-(SeqNum a, std::uint32_t n) { return SeqNum(a.value_ - n); }
  constexpr SeqNum& operator+=(std::uint32_t n) {
    value_ += n;
    return *this;
  }
  /// The signed distance from b to a; negative when a is before b.
  friend constexpr std::int32_t operator-(SeqNum a, SeqNum b) {
    return static_cast<std::int32_t>(a.value_ - b.value_);
  }
  friend constexpr bool operator==(SeqNum, SeqNum) = default;
  friend constexpr bool operator<(SeqNum a, SeqNum b) { return a - b < 0; }
  friend constexpr bool operator<=(SeqNum a, SeqNum b) { return a - b <= 0; }
  friend constexpr bool operator>(SeqNum a, SeqNum b) { return a - b > 0; }
  friend constexpr bool operator>=(SeqNum a, SeqNum b) { return a - b >= 0; }

 private:
  std::uint32_t value_ = 0;
};

constexpr SeqNum max(SeqNum a, SeqNum b) {
  return a < b ? b : a;
}
constexpr SeqNum min(SeqNum a, SeqNum b) {
  return b < a ? b : a;
}
/// first <= s < first + length.
constexpr bool in_window(SeqNum s, SeqNum first, std::uint32_t length) {
  return s.value() - first.value() < length;
}

}  // namespace vtl::wire
