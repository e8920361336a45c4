// SealFilters: the two filters of a seal (seal.h) in the kernel, and the netlink that puts them
// there, looks for them and takes them away.
//
// Ingress: every frame is dropped. Egress: every frame is dropped but those that carry the mark,
// which go on to the filters after it. Both are classic BPF at the first preference of the device's
// clsact, so they take no right but CAP_NET_ADMIN in the device's namespace. A filter that is there
// is replaced in one step: at no time does the device stand open.
//
// What stands before them nobody can see from here: XDP and tcx programs, and another bpf filter
// that is put at the same preference later. Whoever may do that may also take the seal away.
// Thread rule: one thread at a time; the namespace is that of the thread that opened it.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <utility>

struct mnl_socket;

namespace vtl::iface {

enum class SealSide : std::uint8_t { kIngress, kEgress };
inline constexpr std::array kSealSides = {SealSide::kIngress, SealSide::kEgress};
[[nodiscard]] constexpr const char* name(SealSide side) noexcept {
  return side == SealSide::kIngress ? "ingress" : "egress";
}

struct CloseMnlSocket {
  void operator()(mnl_socket* socket) const noexcept;
};
using MnlSocket = std::unique_ptr<mnl_socket, CloseMnlSocket>;

/// Answers are 0 or errno, the kernel's or our own.
class SealFilters {
 public:
  static constexpr std::uint32_t kPreference = 1;  ///< the first that the kernel asks

  [[nodiscard]] static std::expected<SealFilters, int> open();

  /// Makes room for filters at the device; that there is some already is no error.
  [[nodiscard]] int add_clsact(int device);
  /// In place of the filter of another seal, in one step, when there is one.
  [[nodiscard]] int put(int device, SealSide side, std::uint32_t mark);
  /// 0: it is there and does what put() made it for. ENOENT, EINVAL: it is not; EILSEQ: another
  /// does something else in its place.
  [[nodiscard]] int look(int device, SealSide side, std::uint32_t mark);
  [[nodiscard]] int remove(int device, SealSide side);

  /// Of an answer to remove() and look(): there is no such filter, or no such device.
  [[nodiscard]] static bool is_absent(int error) noexcept;

 private:
  class Request;
  explicit SealFilters(MnlSocket socket) noexcept : socket_(std::move(socket)) {}
  struct Wanted;  // what a filter that is looked for should be
  [[nodiscard]] int ask(Request& request, Wanted* wanted = nullptr);

  MnlSocket socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace vtl::iface
