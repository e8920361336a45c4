// Interfaces: `name: { type: ..., options of the type }`.

#include <fmt/format.h>

#include <array>
#include <span>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

constexpr std::uint64_t kMinSocketBuffer = std::uint64_t{64} << 10;
constexpr std::uint64_t kMaxSocketBuffer = std::uint64_t{1} << 30;
// The kernel's IFNAMSIZ, without the final zero.
constexpr std::size_t kMaxDeviceName = 15;

void read_device(Section& section, std::string& device, std::string_view example) {
  if (section.require("device", example) == nullptr || !section.text("device", device)) return;
  if (device.size() > kMaxDeviceName || device.find_first_of("/ \t:") != std::string::npos) {
    section.complain("device", fmt::format("'device' in {} must be the name of a network device, "
                                           "at most {} characters without '/', ':' and blanks, "
                                           "not '{}'",
                                           section.what(), kMaxDeviceName, device));
  }
}

InterfaceOptions read_af_packet(Section& section) {
  iface::AfPacketOptions options;
  read_device(section, options.device, "eth0");
  section.flag("promiscuous", options.promiscuous);
  section.flag("host_frames", options.host_frames);
  section.choice<std::optional<iface::SealUse>>("seal", options.seal,
                                                {{"off", iface::SealUse::kOff},
                                                 {"on", iface::SealUse::kOn},
                                                 {"keep", iface::SealUse::kKeep}});
  section.flag("qdisc_bypass", options.qdisc_bypass);
  section.size("receive_buffer", options.receive_buffer, kMinSocketBuffer, kMaxSocketBuffer);
  section.size("send_buffer", options.send_buffer, kMinSocketBuffer, kMaxSocketBuffer);
  return options;
}

InterfaceOptions read_tap(Section& section) {
  iface::TapOptions options;
  read_device(section, options.device, "tap-vm1");
  section.flag("bring_up", options.bring_up);
  return options;
}

InterfaceOptions read_pcap(Section& section) {
  iface::PcapOptions options;
  read_device(section, options.device, "eth0");
  section.flag("promiscuous", options.promiscuous);
  section.flag("host_frames", options.host_frames);
  section.size("receive_buffer", options.receive_buffer, kMinSocketBuffer, kMaxSocketBuffer);
  section.filter("filter", options.filter);
  return options;
}

InterfaceOptions read_pcap_file(Section& section) {
  iface::PcapFileOptions options;
  if (section.text("read", options.read)) {
    options.read = resolve_path(options.read, section.diagnostics());
  }
  if (section.text("write", options.write)) {
    options.write = resolve_path(options.write, section.diagnostics());
  }
  if (section.find("read") == nullptr && section.find("write") == nullptr) {
    section.diagnostics().add(section.mark(),
                              fmt::format("{} needs 'read', a capture file to take frames from, or "
                                          "'write', one to put frames into, or both",
                                          section.what()));
  }
  section.choice("pace", options.pace,
                 {{"full_speed", iface::Pace::kFullSpeed}, {"recorded", iface::Pace::kRecorded}});
  return options;
}

InterfaceOptions read_qemu(Section& section) {
  constexpr std::string_view kUnix = "unix:";
  iface::QemuOptions options;
  section.require("address", "unix:/run/vm1.sock");
  if (section.text("address", options.address)) {
    const bool local = options.address.starts_with(kUnix) && options.address.size() > kUnix.size();
    if (local) {
      const auto path = options.address.substr(kUnix.size());
      options.address = std::string(kUnix) + resolve_socket(section, "address", path);
    } else if (!wire::SocketAddress::parse(options.address)) {
      section.complain("address", fmt::format("'address' in {} must be unix:/run/vm1.sock or "
                                              "127.0.0.1:5555, not '{}'",
                                              section.what(), options.address));
    }
  }
  section.flag("listen", options.listen);
  section.integer("mtu", options.mtu, 68, 65535);
  section.duration("retry", options.retry, 10ms, 60s);
  return options;
}

struct Type {
  std::string_view name;
  InterfaceOptions (*read)(Section&);
};

constexpr auto kTypes = std::to_array<Type>({
    {"af_packet", read_af_packet},
    {"tap", read_tap},
    {"pcap", read_pcap},
    {"pcap_file", read_pcap_file},
    {"qemu", read_qemu},
});

}  // namespace

std::optional<InterfaceOptions> read_interface(const Node& node, const std::string& name,
                                               Diagnostics& diagnostics) {
  Section section(node, fmt::format("interface '{}'", name), diagnostics);
  section.require("type", "af_packet");
  std::string type;
  if (!section.text("type", type)) return std::nullopt;
  std::vector<std::string_view> known;
  for (const auto& candidate : kTypes) {
    known.push_back(candidate.name);
    if (candidate.name != type) continue;
    auto options = candidate.read(section);
    section.finish();
    return options;
  }
  section.complain("type", fmt::format("no interface type '{}'{}", type, suggestion(type, known)));
  return std::nullopt;
}

}  // namespace vtl::config
