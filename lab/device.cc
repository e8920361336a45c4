#include "lab/device.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "lab/fd.h"

namespace vtl::lab {
namespace {

class DeviceControl {
 public:
  explicit DeviceControl(const std::string& device)
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), device_(device) {
    std::strncpy(request_.ifr_name, device.c_str(), IFNAMSIZ - 1);
  }

  /// Runs one ioctl on the device.
  Outcome<void> call(unsigned long number, const char* what) {
    const int result = ::ioctl(socket_.get(), number, &request_);
    if (result < 0) {
      return fail(fmt::format("device {}: cannot {}: {}", device_, what, std::strerror(errno)));
    }
    return {};
  }

  Outcome<void> ethtool(void* command, const char* what) {
    request_.ifr_data = static_cast<char*>(command);
    return call(SIOCETHTOOL, what);
  }

  ifreq& request() { return request_; }

 private:
  Fd socket_;
  std::string device_;
  ifreq request_{};
};

/// An ethtool command with a variable tail, zeroed and aligned.
template <class Head>
class EthtoolBuffer {
 public:
  explicit EthtoolBuffer(std::size_t tail) : words_((sizeof(Head) + tail + 7) / 8) {}
  Head* operator->() { return get(); }
  // The kernel's structures are plain words, and all of them are zero here.
  Head* get() { return reinterpret_cast<Head*>(words_.data()); }

 private:
  std::vector<std::uint64_t> words_;
};

Outcome<std::vector<std::string>> feature_names(const std::string& device) {
  DeviceControl control(device);
  EthtoolBuffer<ethtool_sset_info> count(sizeof(std::uint32_t));
  count->cmd = ETHTOOL_GSSET_INFO;
  count->sset_mask = 1ULL << ETH_SS_FEATURES;
  if (auto done = control.ethtool(count.get(), "count its features"); !done) {
    return std::unexpected(done.error());
  }
  const std::uint32_t length = count->data[0];
  EthtoolBuffer<ethtool_gstrings> strings(std::size_t{length} * ETH_GSTRING_LEN);
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = length;
  if (auto done = control.ethtool(strings.get(), "name its features"); !done) {
    return std::unexpected(done.error());
  }
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < length; ++i) {
    const auto* text = reinterpret_cast<const char*>(strings->data + i * ETH_GSTRING_LEN);
    names.emplace_back(text, ::strnlen(text, ETH_GSTRING_LEN));
  }
  return names;
}

struct FeatureState {
  bool active = false;
  bool changeable = false;
};

/// In the order of feature_names().
Outcome<std::vector<FeatureState>> feature_states(const std::string& device, std::size_t count) {
  DeviceControl control(device);
  const auto blocks = static_cast<std::uint32_t>((count + 31) / 32);
  EthtoolBuffer<ethtool_gfeatures> state(blocks * sizeof(ethtool_get_features_block));
  state->cmd = ETHTOOL_GFEATURES;
  state->size = blocks;
  if (auto done = control.ethtool(state.get(), "read its features"); !done) {
    return std::unexpected(done.error());
  }
  std::vector<FeatureState> result;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& block = state->features[i / 32];
    const std::uint32_t bit = 1U << (i % 32);
    result.push_back({(block.active & bit) != 0,
                      (block.available & bit) != 0 && (block.never_changed & bit) == 0});
  }
  return result;
}

bool is_offload(const std::string& feature) {
  if (feature == "tx-checksum-sctp" || feature == "rx-checksum") return true;
  return feature.starts_with("tx-checksum") || feature.ends_with("-segmentation") ||
         feature.starts_with("rx-gro") || feature == "rx-lro" || feature == "rx-udp-gro-forwarding";
}

Outcome<void> request_features(const std::string& device, std::size_t count,
                               const std::map<std::size_t, bool>& wanted) {
  const auto blocks = static_cast<std::uint32_t>((count + 31) / 32);
  EthtoolBuffer<ethtool_sfeatures> command(blocks * sizeof(ethtool_set_features_block));
  command->cmd = ETHTOOL_SFEATURES;
  command->size = blocks;
  for (const auto& [index, on] : wanted) {
    auto& block = command->features[index / 32];
    block.valid |= 1U << (index % 32);
    if (on) block.requested |= 1U << (index % 32);
  }
  return DeviceControl(device).ethtool(command.get(), "set its features");
}

}  // namespace

Outcome<std::map<std::string, bool>> features(const std::string& device) {
  const auto names = feature_names(device);
  if (!names) return std::unexpected(names.error());
  const auto states = feature_states(device, names->size());
  if (!states) return std::unexpected(states.error());
  std::map<std::string, bool> result;
  for (std::size_t i = 0; i < names->size(); ++i) {
    if (!(*names)[i].empty()) result[(*names)[i]] = (*states)[i].active;
  }
  return result;
}

Outcome<void> set_features(const std::string& device, const std::map<std::string, bool>& wanted) {
  const auto names = feature_names(device);
  if (!names) return std::unexpected(names.error());
  std::map<std::size_t, bool> indexed;
  for (const auto& [name, on] : wanted) {
    const auto found = std::ranges::find(*names, name);
    if (found == names->end()) {
      return fail(fmt::format("device {} has no feature '{}' (see ethtool -k)", device, name));
    }
    indexed[static_cast<std::size_t>(found - names->begin())] = on;
  }
  if (auto done = request_features(device, names->size(), indexed); !done) return done;
  const auto states = feature_states(device, names->size());
  if (!states) return std::unexpected(states.error());
  for (const auto& [index, on] : indexed) {
    if ((*states)[index].active != on) {
      return fail(fmt::format("device {}: the kernel holds feature '{}' {}", device,
                              (*names)[index], on ? "off" : "on"));
    }
  }
  return {};
}

Outcome<void> turn_offloads_off(const std::string& device) {
  const auto names = feature_names(device);
  if (!names) return std::unexpected(names.error());
  const auto before = feature_states(device, names->size());
  if (!before) return std::unexpected(before.error());
  std::map<std::size_t, bool> wanted;
  for (std::size_t i = 0; i < names->size(); ++i) {
    if (is_offload((*names)[i]) && (*before)[i].changeable) wanted[i] = false;
  }
  if (auto done = request_features(device, names->size(), wanted); !done) return done;
  const auto after = feature_states(device, names->size());
  if (!after) return std::unexpected(after.error());
  for (const auto& [index, on] : wanted) {
    if ((*after)[index].active) {
      return fail(fmt::format("device {}: offload '{}' stays on", device, (*names)[index]));
    }
  }
  return {};
}

bool is_running(const std::string& device) {
  DeviceControl control(device);
  constexpr int kBoth = IFF_UP | IFF_RUNNING;
  return control.call(SIOCGIFFLAGS, "read its flags").has_value() &&
         (control.request().ifr_flags & kBoth) == kBoth;
}

Outcome<wire::MacAddress> mac_of(const std::string& device) {
  DeviceControl control(device);
  if (auto done = control.call(SIOCGIFHWADDR, "read its MAC address"); !done) {
    return std::unexpected(done.error());
  }
  std::array<std::uint8_t, wire::MacAddress::kSize> octets{};
  std::memcpy(octets.data(), control.request().ifr_hwaddr.sa_data, octets.size());
  return wire::MacAddress(octets);
}

Outcome<int> mtu_of(const std::string& device) {
  DeviceControl control(device);
  if (auto done = control.call(SIOCGIFMTU, "read its MTU"); !done) {
    return std::unexpected(done.error());
  }
  return control.request().ifr_mtu;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  struct if_nameindex* const all = ::if_nameindex();
  for (auto* at = all; at != nullptr && at->if_index != 0; ++at) names.emplace_back(at->if_name);
  if (all != nullptr) ::if_freenameindex(all);
  return names;
}

}  // namespace vtl::lab
