#include "vtl/iface/fanout_program.h"

#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "vtl/packet/layout.h"

namespace vtl::iface {
namespace {

constexpr std::uint16_t kStore = BPF_ST, kLoadXMem = BPF_LDX | BPF_MEM;
constexpr std::uint16_t kLoadMem = BPF_LD | BPF_MEM, kLoadXImm = BPF_LDX | BPF_IMM;
constexpr std::uint16_t kLoad8Ind = BPF_LD | BPF_B | BPF_IND, kLoad16Ind = BPF_LD | BPF_H | BPF_IND;
constexpr std::uint16_t kLoad16Abs = BPF_LD | BPF_H | BPF_ABS,
                        kLoad32Abs = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t kLoad8Abs = BPF_LD | BPF_B | BPF_ABS;
constexpr std::uint16_t kXorX = BPF_ALU | BPF_XOR | BPF_X, kAddX = BPF_ALU | BPF_ADD | BPF_X;
constexpr std::uint16_t kAddK = BPF_ALU | BPF_ADD | BPF_K, kAndK = BPF_ALU | BPF_AND | BPF_K;
constexpr std::uint16_t kLeftK = BPF_ALU | BPF_LSH | BPF_K, kRightK = BPF_ALU | BPF_RSH | BPF_K;
constexpr std::uint16_t kTax = BPF_MISC | BPF_TAX, kRetA = BPF_RET | BPF_A, kRetK = BPF_RET | BPF_K;
constexpr std::uint16_t kIfEqual = BPF_JMP | BPF_JEQ | BPF_K, kIfSet = BPF_JMP | BPF_JSET | BPF_K;

// Scratch memory: the sum over the addresses, and a passing value.
constexpr std::uint32_t kSum = 0, kHold = 1;

class Assembler {
 public:
  void add(std::uint16_t code, std::uint32_t k = 0) { program_.push_back({code, 0, 0, k}); }
  [[nodiscard]] std::size_t here() const { return program_.size(); }

  /// A jump whose target is told later. When `code` is conditional it is taken on true.
  [[nodiscard]] std::size_t jump(std::uint16_t code = BPF_JMP | BPF_JA, std::uint32_t k = 0) {
    add(code, k);
    return here() - 1;
  }
  /// Points the jumps at the next instruction. A conditional one reaches 255 instructions far.
  void land(std::initializer_list<std::size_t> jumps) {
    for (const std::size_t at : jumps) land(at);
  }
  void land(std::size_t at) {
    const std::size_t distance = here() - at - 1;
    if (BPF_OP(program_[at].code) == BPF_JA) {
      program_[at].k = static_cast<std::uint32_t>(distance);
      return;
    }
    assert(distance <= std::numeric_limits<std::uint8_t>::max());
    program_[at].jt = static_cast<std::uint8_t>(distance);
  }
  /// A conditional far jump: falls through on false.
  [[nodiscard]] std::size_t far_jump_if(std::uint16_t code, std::uint32_t k) {
    add(code, k);
    program_.back().jf = 1;
    return jump();
  }
  std::vector<sock_filter> take() { return std::move(program_); }

 private:
  std::vector<sock_filter> program_;
};

class FanoutProgram {
 public:
  std::vector<sock_filter> make() {
    code_.add(kLoad16Abs, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL));
    const std::size_t customer = code_.far_jump_if(kIfEqual, 0x8100);
    const std::size_t service = code_.far_jump_if(kIfEqual, 0x88a8);
    at_network(0);
    code_.land({customer, service});
    code_.add(kLoad16Abs, 2);
    at_network(4);
    land_all(with_ports_, [&] { ports(); });
    land_all(without_ports_, [&] { code_.add(kLoadMem, kSum); });
    fold();
    return code_.take();
  }

 private:
  // With the EtherType in A and the network header at `base`.
  void at_network(std::uint32_t base) {
    const std::size_t v4 = code_.jump(kIfEqual, 0x0800);
    const std::size_t v6 = code_.far_jump_if(kIfEqual, 0x86dd);
    code_.add(kRetK, 0);
    code_.land(v4);
    ipv4(base);
    code_.land(v6);
    ipv6(base);
  }

  // The exclusive or of `words` 32-bit words from `offset` on, kept in kSum.
  void sum_words(std::uint32_t offset, unsigned words) {
    code_.add(kLoad32Abs, offset);
    for (unsigned i = 1; i < words; ++i) {
      code_.add(kTax);
      code_.add(kLoad32Abs, offset + 4 * i);
      code_.add(kXorX);
    }
    code_.add(kStore, kSum);
  }

  void ipv4(std::uint32_t base) {
    sum_words(base + 12, 2);
    code_.add(kLoad16Abs, base + 6);
    without_ports_.push_back(code_.far_jump_if(kIfSet, 0x3fff));  // a fragment
    code_.add(kLoad8Abs, base);
    code_.add(kAndK, 0x0f);
    code_.add(kLeftK, 2);
    code_.add(kAddK, base);
    code_.add(kTax);  // X: the transport header
    code_.add(kLoad8Abs, base + 9);
    with_ports_.push_back(code_.far_jump_if(kIfEqual, 6));
    with_ports_.push_back(code_.far_jump_if(kIfEqual, 17));
    without_ports_.push_back(code_.jump());
  }

  void ipv6(std::uint32_t base) {
    sum_words(base + 8, 8);
    code_.add(kLoadXImm, base + 40);
    code_.add(kLoad8Abs, base + 6);
    for (unsigned i = 0; i <= kMaxIpv6Extensions; ++i) extension(i == kMaxIpv6Extensions);
    without_ports_.push_back(code_.jump());
  }

  // With the next-header value in A and its offset in X: on to the ports, or past one extension.
  void extension(bool last) {
    with_ports_.push_back(code_.far_jump_if(kIfEqual, 6));
    with_ports_.push_back(code_.far_jump_if(kIfEqual, 17));
    if (last) return;
    const std::size_t hop_by_hop = code_.jump(kIfEqual, 0);
    const std::size_t routing = code_.jump(kIfEqual, 43);
    const std::size_t destination = code_.jump(kIfEqual, 60);
    const std::size_t authentication = code_.jump(kIfEqual, 51);
    const std::size_t fragment = code_.jump(kIfEqual, 44);
    without_ports_.push_back(code_.jump());

    code_.land({hop_by_hop, routing, destination});
    code_.add(kLoad8Ind, 1);
    code_.add(kAddK, 1);
    code_.add(kLeftK, 3);
    const std::size_t options_done = code_.jump();

    code_.land(authentication);
    code_.add(kLoad8Ind, 1);
    code_.add(kAddK, 2);
    code_.add(kLeftK, 2);
    const std::size_t authentication_done = code_.jump();

    code_.land(fragment);
    code_.add(kLoad16Ind, 2);
    without_ports_.push_back(code_.far_jump_if(kIfSet, 0xfff9));
    code_.add(BPF_LD | BPF_IMM, 8);

    code_.land({options_done, authentication_done});
    code_.add(kAddX);
    code_.add(kStore, kHold);
    code_.add(kLoad8Ind, 0);
    code_.add(kLoadXMem, kHold);
  }

  // X: the transport header.
  void ports() {
    code_.add(kLoad16Ind, 0);
    code_.add(kStore, kHold);
    code_.add(kLoad16Ind, 2);
    code_.add(kLoadXMem, kHold);
    code_.add(kXorX);
    code_.add(kLoadXMem, kSum);
    code_.add(kXorX);
    code_.add(kStore, kSum);
  }

  void fold() {
    for (const std::uint32_t by : {16U, 8U}) {
      code_.add(kTax);
      code_.add(kRightK, by);
      code_.add(kXorX);
    }
    code_.add(kRetA);
  }

  template <class Emit>
  void land_all(std::vector<std::size_t>& jumps, Emit emit) {
    for (const std::size_t at : jumps) code_.land(at);
    emit();
  }

  Assembler code_;
  std::vector<std::size_t> with_ports_, without_ports_;
};

}  // namespace

std::vector<sock_filter> make_fanout_program() {
  return FanoutProgram().make();
}

}  // namespace vtl::iface
