// The file as a whole: its top-level keys, and what only shows when all parts are known.

#include "vtl/config/config.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

constexpr std::uint32_t kMaxWorkers = 64;
constexpr std::size_t kMaxName = 64;
constexpr std::string_view kDefaultSocket = "/run/vtl/vtl.sock";

void read_control(Section& root, ControlConfig& control) {
  control.socket = kDefaultSocket;
  const Node* const node = root.find("control");
  if (node == nullptr) return;
  Section section(*node, "'control'", root.diagnostics());
  if (const Node* socket = section.find("socket"); socket != nullptr && socket->text == "none") {
    control.socket.clear();
  } else if (section.text("socket", control.socket)) {
    control.socket = resolve_socket(section, "socket", control.socket);
  }
  if (section.socket_address("metrics", control.metrics)) {
    const auto& address = control.metrics->address;
    const bool loopback =
        address.is_v4() ? address.v4().is_loopback() : address == *wire::IpAddress::parse("::1");
    if (!loopback) {
      section.complain("metrics",
                       "'metrics' answers without a password, so it listens on a loopback address "
                       "only, e.g. 127.0.0.1:9464; put a proxy in front to publish it");
    }
  }
  section.finish();
}

// The device that an interface reads from, or null.
const std::string* device_of(const InterfaceOptions& options) {
  if (const auto* af_packet = std::get_if<iface::AfPacketOptions>(&options)) {
    return &af_packet->device;
  }
  if (const auto* tap = std::get_if<iface::TapOptions>(&options)) return &tap->device;
  if (const auto* pcap = std::get_if<iface::PcapOptions>(&options)) return &pcap->device;
  return nullptr;
}

// What one of two interfaces on a device sends, the other may read: frames would go round for ever.
class Devices {
 public:
  explicit Devices(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void claim(const Node::Entry& entry, const InterfaceOptions& options) {
    const std::string* const device = device_of(options);
    if (device == nullptr || device->empty()) return;
    const Mark mark = Section(entry.value, entry.key, diagnostics_).mark_of("device");
    const auto [it, fresh] = taken_.emplace(*device, Taken{entry.key, mark});
    if (fresh) return;
    diagnostics_.add(mark, fmt::format("device '{}' is that of interface '{}' already (line {}); "
                                       "frames would loop between the two, so make it one "
                                       "interface, which several links may have as network",
                                       *device, it->second.interface, it->second.mark.line));
  }

 private:
  struct Taken {
    std::string interface;
    Mark mark;
  };
  std::map<std::string, Taken> taken_;
  Diagnostics& diagnostics_;
};

void read_interfaces(Section& root, Config& config) {
  const Node* const node = root.find("interfaces");
  if (node == nullptr || node->kind != Node::Kind::kMap) {
    if (node != nullptr) Section(*node, "'interfaces'", root.diagnostics()).finish();
    return;
  }
  Devices devices(root.diagnostics());
  for (const auto& entry : node->entries) {
    check_name(entry.key, "interface", entry.mark, root.diagnostics());
    if (entry.key == "none") {
      root.diagnostics().add(entry.mark,
                             "'none' means no network side; choose another name for an interface");
    }
    auto options = read_interface(entry.value, entry.key, root.diagnostics());
    if (!options) continue;
    devices.claim(entry, *options);
    config.interfaces.push_back({entry.key, std::move(*options)});
  }
}

void read_general(Section& root, Config& config) {
  root.integer("workers", config.workers, 1, kMaxWorkers);
  root.duration("busy_poll", config.busy_poll, 0s, 1s);
  root.size("packet_memory", config.packet_memory, std::uint64_t{16} << 20, std::uint64_t{1} << 40);
  root.integer("seed", config.seed, 0, std::numeric_limits<std::int64_t>::max());
  root.duration("stop_grace", config.stop_grace, 0s, 10min);
  root.choice("log_level", config.log_level,
              {{"debug", LogLevel::kDebug},
               {"info", LogLevel::kInfo},
               {"warning", LogLevel::kWarning},
               {"error", LogLevel::kError}});
  if (root.text("user", config.user) && getpwnam(config.user->c_str()) == nullptr) {
    root.complain("user", fmt::format("no user '{}' on this host; make one, or leave 'user' out",
                                      *config.user));
  }
}

void read_root(const Node& tree, Config& config, Diagnostics& diagnostics) {
  Section root(tree, "the configuration", diagnostics);
  read_general(root, config);
  read_control(root, config.control);
  read_interfaces(root, config);
  const Node* const peers = root.find("peers");
  if (peers != nullptr) config.peers = read_peers(*peers, diagnostics);
  const Node* const proxies = root.find("proxies");
  if (proxies != nullptr) config.proxies = read_proxies(*proxies, diagnostics);
  Names names;
  if (const Node* node = root.find("interfaces")) names.interfaces = names_of(*node);
  if (peers != nullptr) names.peers = names_of(*peers);
  if (proxies != nullptr) names.proxies = names_of(*proxies);
  if (const Node* links = root.require("links", "[{ name: vm1, guest: vm1, network: uplink }]")) {
    config.links = read_links(*links, names, diagnostics);
    if (links->kind == Node::Kind::kSequence && links->items.empty()) {
      diagnostics.add(links->mark, "'links' is empty: there is nothing to run");
    }
    if (diagnostics.empty()) check_anonymizers(*links, config, diagnostics);
    if (diagnostics.empty()) check_workers(*links, config, diagnostics);
  }
  root.finish();
}

}  // namespace

bool check_name(std::string_view name, std::string_view thing, Mark mark,
                Diagnostics& diagnostics) {
  const bool good =
      !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
      });
  if (!good) {
    diagnostics.add(mark, fmt::format("a name of {} {} is 1 to {} letters, digits, '-', '_' and "
                                      "'.', not '{}'",
                                      thing == "interface" ? "an" : "a", thing, kMaxName, name));
  }
  return good;
}

std::string resolve_path(const std::string& path, const Diagnostics& diagnostics) {
  return (std::filesystem::path(diagnostics.file()).parent_path() / path).string();
}

std::string resolve_socket(Section& section, std::string_view key, const std::string& path) {
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
  auto resolved = resolve_path(path, section.diagnostics());
  if (resolved.size() > kMost) {
    section.complain(key,
                     fmt::format("'{}' in {}: the path of a unix socket has at most {} octets, "
                                 "{} has {}",
                                 key, section.what(), kMost, resolved, resolved.size()));
  }
  return resolved;
}

std::expected<Config, Mistakes> parse_config(const std::string& text, const std::string& file) {
  Diagnostics diagnostics(file);
  const Node tree = parse_document(text, diagnostics);
  Config config;
  config.file = file;
  // After a syntax error the tree has a hole, and complaints about it would mislead.
  if (diagnostics.empty()) read_root(tree, config, diagnostics);
  if (!diagnostics.empty()) return std::unexpected(diagnostics.lines());
  return config;
}

std::expected<Config, Mistakes> load_config(const std::string& path) {
  const auto unreadable = [&](std::string_view why) {
    return std::unexpected(
        Mistakes{fmt::format("{}: cannot read the configuration: {}", path, why)});
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return unreadable("it is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) return unreadable(std::strerror(errno));
  std::string text(kMaxOctets + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_config(text, path);
}

bool may_cut_through(const LinkConfig& link) {
  return std::ranges::all_of(link.services, [](const ServiceOptions& service) {
    return std::holds_alternative<BridgeOptions>(service);
  });
}

}  // namespace vtl::config
