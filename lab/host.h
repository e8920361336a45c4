// Host: a machine of the lab, which is a network namespace with a name.
//
// `ip netns exec NAME ...` works on it. Code of the caller runs in it under an InHost guard, real
// programs run in it as a Process. Fresh hosts answer ARP for an address only on its own device
// (arp_ignore=1), skip duplicate address detection, send no router solicitations and have stock
// TCP settings, whatever the machine's own are.
//
// Thread rule: one thread per Host object; enter() affects the calling thread alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/device.h"
#include "lab/fd.h"
#include "lab/process.h"
#include "vtl/base/result.h"

namespace vtl::lab {

/// A thread's stay in a host: sockets, devices and sysctls that it opens are the host's. The
/// thread is back where it was when the guard ends.
class InHost {
 public:
  explicit InHost(int netns);
  InHost(const InHost&) = delete;
  InHost& operator=(const InHost&) = delete;
  ~InHost();

 private:
  Fd before_;
};

/// The TCP settings of a host's kernel.
struct TcpSettings {
  std::string congestion_control = "cubic";
  /// Smallest, first and largest receive buffer of a socket, in octets (tcp_rmem, tcp_wmem).
  std::array<std::uint64_t, 3> receive_buffer{4096, 131'072, 6'291'456};
  std::array<std::uint64_t, 3> send_buffer{4096, 16'384, 4'194'304};

  /// What Linux ships with on a machine of some memory: a guest that nobody has tuned.
  static TcpSettings stock() { return {}; }
  /// A tuned host: buffers that may grow to `octets` in either direction.
  static TcpSettings raised(std::uint64_t octets, std::string congestion_control = "cubic");
};

/// What becomes of IPv6 in a host.
enum class Ipv6 : std::uint8_t {
  kOn,       ///< as usual, with link-local addresses
  kNoNoise,  ///< no link-local addresses by themselves: for hosts that only pass frames on
  kOff,
};

struct HostOptions {
  Ipv6 ipv6 = Ipv6::kOn;
  bool router = false;  ///< forwards IPv4 and IPv6
  TcpSettings tcp{};
};

class Host {
 public:
  /// Makes the namespace /run/netns/`name`; programs keep their output in `folder`. In a sandbox
  /// only. Lab::add_host() is the usual way.
  [[nodiscard]] static Outcome<Host> create(std::string name, std::filesystem::path folder,
                                            const HostOptions& options = {});
  Host(Host&&) noexcept = default;
  Host& operator=(Host&&) = delete;
  ~Host();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// The namespace's descriptor.
  [[nodiscard]] int netns() const noexcept { return netns_.get(); }

  [[nodiscard]] InHost enter() const { return InHost(netns_.get()); }

  /// Runs commands of ip(8) in the host, one a line and without the word `ip`:
  /// "addr add 10.0.0.1/24 dev eth0". Stops at the first that fails and names it.
  [[nodiscard]] Outcome<void> ip(std::string_view commands);
  /// "net.ipv4.tcp_rmem" or with slashes. Errors say when this host cannot change it.
  [[nodiscard]] Outcome<void> set_sysctl(const std::string& key, const std::string& value);
  [[nodiscard]] Outcome<std::string> sysctl(const std::string& key) const;
  /// For connections opened from now on. The congestion control is also put on the routes that
  /// the host has or gets by ip() where this machine's policy does not let a namespace choose it.
  [[nodiscard]] Outcome<void> set_tcp(const TcpSettings& settings);
  /// The algorithms that this kernel can use now.
  [[nodiscard]] std::vector<std::string> congestion_controls() const;

  [[nodiscard]] Outcome<std::map<std::string, bool>> features(const std::string& device) const;
  [[nodiscard]] Outcome<void> set_features(const std::string& device,
                                           const std::map<std::string, bool>& wanted);
  [[nodiscard]] Outcome<void> set_offloads(const std::string& device, Offloads offloads);
  [[nodiscard]] Outcome<wire::MacAddress> mac(const std::string& device) const;
  [[nodiscard]] std::vector<std::string> devices() const;
  /// Waits until the device is up and has a carrier.
  [[nodiscard]] Outcome<void> wait_for_carrier(const std::string& device, Duration bound = 5s);

  /// A persistent tap device, up.
  [[nodiscard]] Outcome<void> add_tap(const std::string& device, int mtu = 1500);
  /// A kernel bridge over devices of the host, up, without spanning tree.
  [[nodiscard]] Outcome<void> add_bridge(const std::string& bridge,
                                         const std::vector<std::string>& devices);
  /// An 802.1Q device `device`.`id`, up. Says so where the kernel has none.
  [[nodiscard]] Outcome<void> add_vlan(const std::string& device, std::uint16_t id);

  /// Starts a program in the host. Its output files are named HOST-NAME.
  [[nodiscard]] Outcome<Process> start(Program program) const;
  /// Runs a program to its end and answers it; anything but exit status 0 is a failure.
  [[nodiscard]] Outcome<Process> run(Program program, Duration bound = 30s) const;
  /// The same, answering what it wrote to standard output.
  [[nodiscard]] Outcome<std::string> output_of(std::vector<std::string> argv,
                                               Duration bound = 30s) const;

 private:
  Host(std::string name, std::filesystem::path folder, Fd netns);
  [[nodiscard]] Outcome<void> furnish(const HostOptions& options);
  [[nodiscard]] Outcome<void> run_ip(std::string_view commands, const std::string& family = {});
  [[nodiscard]] Outcome<void> put_congestion_control_on_routes();

  std::string name_;
  std::filesystem::path folder_;
  Fd netns_;
  std::string route_congestion_control_;  ///< empty: the namespace's own setting holds
};

}  // namespace vtl::lab
