// Devices of the network namespace that the calling thread is in: features (offloads), flags, MAC.
//
// Features have the names that `ethtool -k` prints ("tx-tcp-segmentation", "rx-gro", ...), as the
// kernel tells them; the kernel may hold one on or off, then it is told, not changed.
// Thread rule: any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "vtl/base/result.h"
#include "vtl/wire/addresses.h"

namespace vtl::lab {

/// What a device does for the kernel instead of the wire's own work.
enum class Offloads : std::uint8_t {
  kKeep,  ///< as the kernel made it: on, for a veth
  kOff,   ///< none: frames of at most the MTU, with finished checksums, as on a real wire
};

/// Every feature of `device` and whether it is on.
[[nodiscard]] Outcome<std::map<std::string, bool>> features(const std::string& device);

/// Sets features by name; fails when one is unknown or does not become what was asked.
[[nodiscard]] Outcome<void> set_features(const std::string& device,
                                         const std::map<std::string, bool>& wanted);

/// Turns off checksumming, segmentation and receive merging, in both directions.
[[nodiscard]] Outcome<void> turn_offloads_off(const std::string& device);

/// Up, and with a carrier.
[[nodiscard]] bool is_running(const std::string& device);
[[nodiscard]] Outcome<wire::MacAddress> mac_of(const std::string& device);
[[nodiscard]] Outcome<int> mtu_of(const std::string& device);
/// Names of all devices, the loopback device too.
[[nodiscard]] std::vector<std::string> device_names();

}  // namespace vtl::lab
