// VirtualMachine: a real guest that knows nothing of VTL.
//
// Debian's packaged kernel with a busybox userland, under QEMU's software emulation, which needs
// neither KVM nor root. The lab builds the initial file system: busybox, the modules of the
// virtio network device, and an init that sets the address, runs a script and switches off. The
// serial console is the Process's output.
//
// Where: linux-image-cloud-amd64 (/boot/vmlinuz-VERSION, /lib/modules/VERSION), busybox-static,
// qemu-system-x86. Thread rule: one thread per object.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "lab/host.h"

namespace vtl::lab {

/// How the guest's network device reaches the host.
enum class Netdev : std::uint8_t {
  kTap,         ///< the tap device named by `netdev` in the host
  kUnixSocket,  ///< connects to the UNIX stream socket named by `netdev`; frames have a four-octet
                ///< big-endian length in front
};

struct VirtualMachineOptions {
  std::string name = "vm";
  Netdev netdev_type = Netdev::kTap;
  std::string netdev;                     ///< device or path, see Netdev
  std::string mac = "02:00:00:00:ff:01";  ///< of the guest's device
  std::string address;                    ///< "10.0.0.1/24"
  std::string gateway{};                  ///< or none
  std::string address6{};                 ///< "fd00::1/64", or none
  int mtu = 1500;
  /// Run by /bin/sh of busybox (wget, nc, sha256sum, ping, ...) once the network is up.
  std::string script;
  int memory_mib = 192;
};

/// The kernel that guests boot.
struct GuestKernel {
  std::string version;
  std::filesystem::path image;    ///< /boot/vmlinuz-VERSION
  std::filesystem::path modules;  ///< /lib/modules/VERSION
};

/// The newest packaged cloud kernel whose image this user may read; otherwise an error that names
/// what to install or to allow.
[[nodiscard]] Outcome<GuestKernel> find_guest_kernel();

/// The initial file system for `options`: a cpio archive.
[[nodiscard]] Outcome<std::string> make_guest_initramfs(const GuestKernel& kernel,
                                                        const VirtualMachineOptions& options);

struct VirtualMachineResult {
  int status = 0;       ///< exit status of the script
  std::string console;  ///< all that the serial console showed
};

class VirtualMachine {
 public:
  /// Starts it in `host`; the guest is booting when this returns.
  [[nodiscard]] static Outcome<VirtualMachine> start(Host& host,
                                                     const VirtualMachineOptions& options);

  /// QEMU; its output is the console. wait_for_line() waits for what the script prints.
  [[nodiscard]] Process& process() noexcept { return process_; }
  [[nodiscard]] std::string console() const;
  /// Waits until the network is set and the script starts.
  [[nodiscard]] Outcome<void> wait_for_boot(Duration bound = 60s);
  /// Waits until the script has ended and the guest has switched off.
  [[nodiscard]] Outcome<VirtualMachineResult> wait(Duration bound);

 private:
  explicit VirtualMachine(Process process) : process_(std::move(process)) {}
  Process process_;
};

}  // namespace vtl::lab
