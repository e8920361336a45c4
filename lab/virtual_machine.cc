#include "lab/virtual_machine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

#include "lab/initramfs.h"

namespace vtl::lab {
namespace {

constexpr const char* kBootedMark = "lab: script starts";
constexpr const char* kEndedMark = "lab: script ended with ";

/// The console is slow and may be cut in by the kernel: marks stand on lines of their own.
constexpr const char* kInit = R"(#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "$module" || echo "lab: cannot load $module"; done < /lab/modules
. /lab/network
ip link set lo up
for i in $(seq 100); do [ -e /sys/class/net/eth0 ] && break; usleep 50000; done
ip link set eth0 mtu "$MTU"
if [ -n "$ADDRESS6" ]; then
  echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
  ip -6 addr add "$ADDRESS6" dev eth0
fi
ip link set eth0 up
[ -n "$ADDRESS" ] && ip addr add "$ADDRESS" dev eth0
[ -n "$GATEWAY" ] && ip route add default via "$GATEWAY"
echo
echo "lab: script starts"
cd /tmp
sh /lab/script
status=$?
echo
echo "lab: script ended with $status"
sync
poweroff -f
)";

Outcome<std::string> read_file(const std::filesystem::path& path, const char* hint) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) return fail(fmt::format("cannot read {}: {}", path.string(), hint));
  return std::move(content).str();
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

using Dependencies = std::map<std::string, std::vector<std::string>>;

/// modules.dep: "path: path path".
Outcome<Dependencies> read_dependencies(const GuestKernel& kernel) {
  const auto text = read_file(kernel.modules / "modules.dep", "is the kernel's package complete?");
  if (!text) return std::unexpected(text.error());
  Dependencies result;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream words(line.substr(colon + 1));
    auto& needs = result[line.substr(0, colon)];
    for (std::string word; words >> word;) needs.push_back(word);
  }
  return result;
}

/// `path` after all that it needs, once each.
void order_modules(const Dependencies& dependencies, const std::string& path,
                   std::vector<std::string>& order) {
  if (std::ranges::find(order, path) != order.end()) return;
  if (const auto found = dependencies.find(path); found != dependencies.end()) {
    for (const auto& need : found->second) order_modules(dependencies, need, order);
  }
  order.push_back(path);
}

/// The files of the modules that the guest's network device needs, in the order of loading; those
/// that are built into the kernel are not among them.
Outcome<std::vector<std::string>> guest_modules(const GuestKernel& kernel) {
  const auto dependencies = read_dependencies(kernel);
  if (!dependencies) return std::unexpected(dependencies.error());
  const std::string builtin =
      read_file(kernel.modules / "modules.builtin", "").value_or(std::string());
  std::vector<std::string> order;
  for (const std::string wanted : {"virtio_pci.ko", "virtio_net.ko", "af_packet.ko"}) {
    const auto found = std::ranges::find_if(*dependencies, [&](const auto& entry) {
      return std::filesystem::path(entry.first).filename().string().starts_with(wanted);
    });
    if (found != dependencies->end()) {
      order_modules(*dependencies, found->first, order);
    } else if (builtin.find("/" + wanted) == std::string::npos) {
      return fail(fmt::format("kernel {} has no module {}", kernel.version, wanted));
    }
  }
  return order;
}

Outcome<std::string> static_busybox() {
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (std::filesystem::exists(path)) return read_file(path, "no right to read it");
  }
  return fail("no busybox for the guest: install busybox-static");
}

std::string netdev_argument(const VirtualMachineOptions& options) {
  if (options.netdev_type == Netdev::kTap) {
    return fmt::format("tap,id=net0,ifname={},script=no,downscript=no", options.netdev);
  }
  return fmt::format("stream,id=net0,server=off,addr.type=unix,addr.path={}", options.netdev);
}

}  // namespace

Outcome<GuestKernel> find_guest_kernel() {
  const std::regex name(R"(vmlinuz-(.*cloud.*))");
  std::vector<GuestKernel> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/boot", ignored)) {
    std::smatch match;
    const std::string file = entry.path().filename().string();
    if (!std::regex_match(file, match, name)) continue;
    const std::string version = match[1];
    found.push_back({version, entry.path(), "/lib/modules/" + version});
  }
  if (found.empty()) {
    return fail("no kernel for guests in /boot: install linux-image-cloud-amd64");
  }
  std::ranges::sort(found, [](const auto& a, const auto& b) {
    return ::strverscmp(a.version.c_str(), b.version.c_str()) > 0;
  });
  const auto readable = std::ranges::find_if(
      found, [](const auto& kernel) { return ::access(kernel.image.c_str(), R_OK) == 0; });
  if (readable == found.end()) {
    return fail(fmt::format("this user may not read {}: as root, chmod +r it",
                            found.front().image.string()));
  }
  return *readable;
}

Outcome<std::string> make_guest_initramfs(const GuestKernel& kernel,
                                          const VirtualMachineOptions& options) {
  const auto busybox = static_busybox();
  if (!busybox) return std::unexpected(busybox.error());
  const auto modules = guest_modules(kernel);
  if (!modules) return std::unexpected(modules.error());

  CpioArchive archive;
  for (const char* path : {"bin", "dev", "lab", "proc", "root", "sys", "tmp"}) {
    archive.add_directory(path);
  }
  archive.add_character_device("dev/console", 5, 1);
  archive.add_character_device("dev/null", 1, 3);
  archive.add_file("bin/busybox", *busybox, true);
  archive.add_file("init", kInit, true);
  std::string list;
  for (const auto& path : *modules) {
    const auto content = read_file(kernel.modules / path, "is the kernel's package complete?");
    if (!content) return std::unexpected(content.error());
    if (!path.ends_with(".ko")) {
      return fail(fmt::format("module {} is compressed, which the guest cannot load", path));
    }
    const std::string place = "lab/" + std::filesystem::path(path).filename().string();
    archive.add_file(place, *content);
    list += "/" + place + "\n";
  }
  archive.add_file("lab/modules", list);
  archive.add_file("lab/network", fmt::format("ADDRESS={}\nADDRESS6={}\nGATEWAY={}\nMTU={}\n",
                                              quoted(options.address), quoted(options.address6),
                                              quoted(options.gateway), options.mtu));
  archive.add_file("lab/script", options.script);
  return archive.finish();
}

Outcome<VirtualMachine> VirtualMachine::start(Host& host, const VirtualMachineOptions& options) {
  const auto kernel = find_guest_kernel();
  if (!kernel) return std::unexpected(kernel.error());
  const auto initramfs = make_guest_initramfs(*kernel, options);
  if (!initramfs) return std::unexpected(initramfs.error());
  const auto file = host.folder() / fmt::format("{}-{}.cpio", host.name(), options.name);
  std::ofstream out(file, std::ios::binary);
  out << *initramfs;
  if (!out.flush()) return fail(fmt::format("cannot write {}", file.string()));

  auto process =
      host.start({.argv = {"qemu-system-x86_64",
                           "-machine",
                           "pc,accel=tcg",
                           "-m",
                           std::to_string(options.memory_mib),
                           "-nodefaults",
                           "-no-user-config",
                           "-display",
                           "none",
                           "-monitor",
                           "none",
                           "-serial",
                           "stdio",
                           "-no-reboot",
                           "-kernel",
                           kernel->image.string(),
                           "-initrd",
                           file.string(),
                           "-append",
                           "console=ttyS0 quiet panic=-1 random.trust_cpu=on",
                           "-netdev",
                           netdev_argument(options),
                           "-device",
                           fmt::format("virtio-net-pci,netdev=net0,mac={},romfile=", options.mac)},
                  .name = options.name,
                  // QEMU takes the end of its input for a closed console.
                  .input_from = Input::kPipe});
  if (!process) return std::unexpected(process.error());
  return VirtualMachine(std::move(*process));
}

std::string VirtualMachine::console() const {
  std::string text = process_.output();
  std::erase(text, '\r');
  return text;
}

Outcome<void> VirtualMachine::wait_for_boot(Duration bound) {
  if (auto line = process_.wait_for_line(kBootedMark, bound); !line) {
    return std::unexpected(line.error());
  }
  return {};
}

Outcome<VirtualMachineResult> VirtualMachine::wait(Duration bound) {
  if (auto exit = process_.wait_ok(bound); !exit) return std::unexpected(exit.error());
  VirtualMachineResult result{.console = console()};
  const std::string_view mark = kEndedMark;
  const auto at = result.console.rfind(mark);
  if (at == std::string::npos) {
    return fail(fmt::format("the guest switched off before its script ended; its console:\n{}",
                            result.console));
  }
  const char* const digits = result.console.data() + at + mark.size();
  std::from_chars(digits, result.console.data() + result.console.size(), result.status);
  return result;
}

}  // namespace vtl::lab
