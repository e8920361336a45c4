#include "vtl/iface/cut_through.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "vtl/iface/bpf/cut_through_abi.h"
#include "vtl/iface/claim.h"
#include "vtl/iface/device.h"

namespace vtl::iface {
namespace {

// The compiled cut_through.bpf.c.
constexpr unsigned char kObject[] = {
#include "cut_through.bpf.inc"
};

// Where the program hangs at a device's ingress. Nobody else's filter is at this place by chance.
constexpr std::uint32_t kHandle = 0x56544c;
constexpr std::uint32_t kPriority = 0x5654;

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

std::string told(const CutThroughOptions& options, const std::string& what, int error) {
  return fmt::format("cut-through {}, {}: {}: {}", options.a, options.b, what,
                     std::strerror(error < 0 ? -error : error));
}

// A device's ingress, and the place of our program there. (libbpf's own macros for these are C.)
bpf_tc_hook hook_of(int device) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = device;
  hook.attach_point = BPF_TC_INGRESS;
  return hook;
}

bpf_tc_opts place_of_program() {
  bpf_tc_opts place{};
  place.sz = sizeof place;
  place.handle = kHandle;
  place.priority = kPriority;
  return place;
}

// The program at one device's ingress. The claim keeps a second VTL from taking the same place; the
// kernel lets it go with the process.
class Attachment {
 public:
  static Outcome<Attachment> make(const CutThroughOptions& options, Device device, int program) {
    if (auto alone = stands_alone(device); !alone) return std::unexpected(alone.error());
    auto claimed = claim(device);
    if (!claimed) return std::unexpected(claimed.error());
    bpf_tc_hook hook = hook_of(device.index());
    if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST) {
      return fail(told(options, "clsact", error));
    }
    bpf_tc_opts place = place_of_program();
    place.prog_fd = program;
    place.flags = BPF_TC_F_REPLACE;
    if (const int error = bpf_tc_attach(&hook, &place); error != 0) {
      return fail(told(options, "program at the ingress", error));
    }
    return Attachment(std::move(device), std::move(*claimed), place.prog_id);
  }
  Attachment(Attachment&& other) noexcept = default;
  Attachment& operator=(Attachment&&) = delete;
  ~Attachment() {
    if (!claim_) return;
    const bpf_tc_hook hook = hook_of(device_.index());
    const bpf_tc_opts place = place_of_program();
    (void)bpf_tc_detach(&hook, &place);  // fails when the device has gone, and the program with it
  }

  /// The program is where it was put, and the frames of the device are nobody else's.
  [[nodiscard]] Outcome<void> check() const {
    const bpf_tc_hook hook = hook_of(device_.index());
    bpf_tc_opts place = place_of_program();
    if (bpf_tc_query(&hook, &place) != 0 || place.prog_id != program_id_) {
      return fail(fmt::format("cut-through: its program at the ingress of {} was taken away",
                              device_.name()));
    }
    return stands_alone(device_);
  }
  [[nodiscard]] const Device& device() const noexcept { return device_; }

 private:
  Attachment(Device device, OwnedFd claim, std::uint32_t program_id)
      : device_(std::move(device)), claim_(std::move(claim)), program_id_(program_id) {}

  // A bridge, a macvlan, a bond or the like above the device gets its frames after the ingress.
  static Outcome<void> stands_alone(const Device& device) {
    std::error_code error;
    const std::filesystem::directory_iterator entries("/sys/class/net/" + device.name(), error);
    if (error) return {};  // no sysfs here
    for (const auto& entry : entries) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("upper_")) continue;
      return fail(fmt::format("cut-through: {} carries {} too, which would lose its frames",
                              device.name(), name.substr(6)));
    }
    return {};
  }

  static Outcome<OwnedFd> claim(const Device& device) {
    auto taken = take_claim(fmt::format("vtl-cut-through-{}", device.index()));
    if (taken) return std::move(*taken);
    return fail(
        taken.error() == EADDRINUSE
            ? fmt::format("cut-through: another VTL forwards on {} already; stop it, or "
                          "set 'cut_through: off' in one of them",
                          device.name())
            : fmt::format("cut-through: {}: {}", device.name(), std::strerror(taken.error())));
  }

  Device device_;
  OwnedFd claim_;
  std::uint32_t program_id_;
};

void store(const wire::SocketAddress& from, __u32 (&address)[4], __u16& port) {
  std::array<std::uint8_t, sizeof address> octets{};
  if (from.address.is_v4()) from.address.v4().store(octets, 0);
  if (from.address.is_v6()) from.address.v6().store(octets, 0);
  std::memcpy(address, octets.data(), octets.size());
  port = htons(from.port.value());
}

vtl_cut_key make_key(int device, const wire::MacAddress& destination, const wire::FlowKey& flow) {
  vtl_cut_key key{};
  key.ifindex = static_cast<__u32>(device);
  std::copy_n(destination.octets().begin(), sizeof key.mac, key.mac);
  key.protocol = static_cast<__u8>(flow.protocol);
  key.version = static_cast<__u8>(flow.source.address.version());
  store(flow.source, key.source, key.source_port);
  store(flow.destination, key.destination, key.destination_port);
  return key;
}

class KernelCutThrough final : public CutThrough {
 public:
  KernelCutThrough(Object object, std::array<int, 2> devices, bool host_frames)
      : object_(std::move(object)), devices_(devices), host_frames_(host_frames) {
    flows_ = map("vtl_flows");
    state_ = map("vtl_state");
    ways_ = map("vtl_ways");
  }

  Outcome<void> attach(const CutThroughOptions& options, std::array<Device, 2> devices) {
    const int program = fd_of("vtl_forward");
    for (Device& device : devices) {
      auto attached = Attachment::make(options, std::move(device), program);
      if (!attached) return std::unexpected(attached.error());
      attachments_.push_back(std::move(*attached));
    }
    return {};
  }

  bool add(const CutFlow& flow) override {
    const std::array keys = keys_of(flow);
    for (std::uint32_t way = 0; way < VTL_CUT_WAYS; ++way) {
      vtl_cut_flow fresh{};
      fresh.target = static_cast<__u32>(devices_[1 - way]);
      fresh.way = way;
      fresh.last_use = static_cast<__u64>(SystemClock().now().time_since_epoch().count());
      if (bpf_map_update_elem(flows_, &keys[way], &fresh, BPF_ANY) == 0) continue;
      if (way > 0) (void)bpf_map_delete_elem(flows_, &keys[0]);
      return false;
    }
    return true;
  }

  CutUsage remove(const CutFlow& flow) override {
    const CutUsage last = usage(flow);
    for (const auto& key : keys_of(flow)) (void)bpf_map_delete_elem(flows_, &key);
    return last;
  }

  CutUsage usage(const CutFlow& flow) const override {
    CutUsage out;
    const std::array keys = keys_of(flow);
    for (std::size_t way = 0; way < keys.size(); ++way) {
      vtl_cut_flow found{};
      if (bpf_map_lookup_elem(flows_, &keys[way], &found) != 0) continue;
      out.frames[way] = found.frames;
      out.octets[way] = found.octets;
      out.last_use = std::max(out.last_use, Time(Duration(found.last_use)));
    }
    return out;
  }

  CutTotals totals() const override {
    CutTotals out;
    std::vector<vtl_cut_way> of_processors(processors_);
    for (std::uint32_t way = 0; way < VTL_CUT_WAYS; ++way) {
      if (bpf_map_lookup_elem(ways_, &way, of_processors.data()) != 0) continue;
      for (const auto& one : of_processors) {
        out.frames[way] += one.frames;
        out.bytes[way] += one.bytes;
      }
    }
    return out;
  }

  Outcome<void> hold_until(Time until) override {
    Outcome<void> result;
    vtl_cut_state state{};
    state.host_frames = host_frames_ ? 1U : 0U;
    for (std::size_t way = 0; way < attachments_.size(); ++way) {
      if (auto good = attachments_[way].check(); !good) result = good;
      const Device& target = attachments_[attachments_.size() - 1 - way].device();
      state.longest[way] = static_cast<__u32>(target.mtu() + ETH_HLEN);
    }
    if (result) state.until = static_cast<__u64>(until.time_since_epoch().count());
    const __u32 zero = 0;
    if (bpf_map_update_elem(state_, &zero, &state, BPF_ANY) != 0) {
      return fail(fmt::format("cut-through: the kernel refuses: {}", std::strerror(errno)));
    }
    return result;
  }

  int socket_program() const noexcept override { return fd_of("vtl_leave"); }

 private:
  int map(const char* name) const { return bpf_object__find_map_fd_by_name(object_.get(), name); }
  int fd_of(const char* program) const noexcept {
    return bpf_program__fd(bpf_object__find_program_by_name(object_.get(), program));
  }
  std::array<vtl_cut_key, VTL_CUT_WAYS> keys_of(const CutFlow& flow) const {
    return {make_key(devices_[0], flow.b, flow.key),
            make_key(devices_[1], flow.a, flow.key.reversed())};
  }

  Object object_;
  const std::array<int, 2> devices_;
  const bool host_frames_;
  const std::size_t processors_ = static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1));
  int flows_ = -1, state_ = -1, ways_ = -1;
  std::vector<Attachment> attachments_;
};

}  // namespace

Outcome<std::unique_ptr<CutThrough>> open_cut_through(const CutThroughOptions& options) {
  auto a = Device::find("cut-through", options.a);
  if (!a) return std::unexpected(a.error());
  auto b = Device::find("cut-through", options.b);
  if (!b) return std::unexpected(b.error());
  // The library would write to standard error what is told here.
  libbpf_set_print(nullptr);
  Object object(bpf_object__open_mem(kObject, sizeof kObject, nullptr));
  if (!object) return fail(told(options, "reading the program", errno));
  bpf_map* flows = bpf_object__find_map_by_name(object.get(), "vtl_flows");
  (void)bpf_map__set_max_entries(flows, options.max_flows * VTL_CUT_WAYS);
  if (const int error = bpf_object__load(object.get()); error != 0) {
    return fail(error == -EPERM
                    ? fmt::format("cut-through {}, {}: not permitted; run as root or with CAP_BPF "
                                  "and CAP_NET_ADMIN",
                                  options.a, options.b)
                    : told(options, "loading the program", error));
  }
  auto made = std::make_unique<KernelCutThrough>(
      std::move(object), std::array{a->index(), b->index()}, options.host_frames);
  if (auto attached = made->attach(options, {std::move(*a), std::move(*b)}); !attached) {
    return std::unexpected(attached.error());
  }
  if (auto held = made->hold_until(Time{}); !held) return std::unexpected(held.error());
  return made;
}

}  // namespace vtl::iface
