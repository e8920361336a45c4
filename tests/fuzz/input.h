// Input: the octets of a fuzz target, taken one after the other as the numbers that a story needs.
// After the last one everything is 0. A copy reads on from where it was made.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtl::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::uint8_t octet() { return empty() ? std::uint8_t{0} : data_[at_++]; }
  std::uint16_t word() {
    const std::uint16_t high = octet();
    return static_cast<std::uint16_t>(high << 8 | octet());
  }
  std::uint32_t any() {
    const std::uint32_t high = word();
    return high << 16 | word();
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

}  // namespace vtl::fuzz
