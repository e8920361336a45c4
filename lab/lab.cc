#include "lab/lab.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace vtl::lab {
namespace {

std::filesystem::path& chosen_folder() {
  static std::filesystem::path folder = "/run/vtl-lab";
  return folder;
}

constexpr int kFirstIndex = 100;

wire::MacAddress device_mac(std::uint16_t number) {
  return wire::MacAddress(
      {0x02, 0, 0, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

std::string mac_text(std::uint16_t number) {
  return fmt::format("{:02x}", fmt::join(device_mac(number).octets(), ":"));
}

}  // namespace

std::filesystem::path default_folder() {
  return chosen_folder();
}
void set_default_folder(std::filesystem::path folder) {
  chosen_folder() = std::move(folder);
}

Lab::Lab(std::filesystem::path folder)
    : folder_(folder.empty() ? default_folder() : std::move(folder)) {
  std::filesystem::create_directories(folder_);
}

Lab::~Lab() = default;

Outcome<Host*> Lab::add_host(const std::string& name, const HostOptions& options) {
  auto host = Host::create(name, folder_, options);
  if (!host) return std::unexpected(host.error());
  hosts_.push_back(std::make_unique<Host>(std::move(*host)));
  return hosts_.back().get();
}

Outcome<Host*> Lab::host(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& host : hosts_) {
    if (host->name() == name) return host.get();
    names.push_back(host->name());
  }
  return fail(fmt::format("no host '{}' here; there are: {}", name, fmt::join(names, ", ")));
}

std::vector<Host*> Lab::hosts() const {
  std::vector<Host*> result;
  for (const auto& host : hosts_) result.push_back(host.get());
  return result;
}

wire::MacAddress Lab::next_mac() const noexcept {
  return device_mac(static_cast<std::uint16_t>(devices_ + 1));
}

Outcome<void> Lab::connect(const Plug& a, const Plug& b, const LinkOptions& options) {
  const auto first = static_cast<std::uint16_t>(devices_ + 1);
  const auto second = static_cast<std::uint16_t>(devices_ + 2);
  devices_ = second;
  // Indices of their own: the kernel tells a carrier at once only for a veth whose index differs
  // from its peer's, and up to a second late otherwise.
  const auto end = [&](const Plug& port, std::uint16_t number) {
    return fmt::format("name {} netns {} index {} address {} mtu {}", port.device, port.host.name(),
                       kFirstIndex + number, mac_text(number), options.mtu);
  };
  if (auto made =
          a.host.ip(fmt::format("link add {} type veth peer {}\n", end(a, first), end(b, second)));
      !made) {
    return made;
  }
  for (const Plug* port : {&a, &b}) {
    if (auto done = port->host.set_offloads(port->device, options.offloads); !done) return done;
    if (auto done = port->host.ip(fmt::format("link set dev {} up\n", port->device)); !done)
      return done;
  }
  if (auto done = a.host.wait_for_carrier(a.device); !done) return done;
  return b.host.wait_for_carrier(b.device);
}

}  // namespace vtl::lab
