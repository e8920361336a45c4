// Proxies: `name: { type: ..., address: ..., port: ..., control: ..., ... }`.

#include <fmt/format.h>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

using transport::SocksOptions;

enum class ProxyType : std::uint8_t { kSocks5, kTor };

void read_address(Section& section, SocksOptions& options) {
  section.require("address", "127.0.0.1");
  section.address("address", options.address.address);
  if (options.tor) options.address.port = wire::Port(9050);
  if (!options.tor) section.require("port", "1080");
  section.port("port", options.address.port);
}

void read_inner(Section& section, SocksOptions& options) {
  using transport::InnerAddresses;
  const bool said = section.find("inner") != nullptr;
  section.choice("inner", options.inner,
                 {{"refused", InnerAddresses::kRefused}, {"allowed", InnerAddresses::kAllowed}});
  if (said && options.tor) {
    section.complain("inner", fmt::format("'inner' in {} is for type: socks5; Tor refuses inner "
                                          "addresses by itself",
                                          section.what()));
  }
  if (said || options.tor || section.find("type") == nullptr) return;
  section.diagnostics().add(
      section.mark(),
      fmt::format(
          "{} needs 'inner', for it may be asked for a name in the public DNS whose address "
          "is 127.0.0.1 or a private one: inner: refused if the server's own rules refuse "
          "loopback, private and its host's addresses, wherever a name led; inner: allowed "
          "if guests may reach them",
          section.what()));
}

void read_credentials(Section& section, SocksOptions& options) {
  transport::SocksCredentials credentials;
  const bool user = section.text("user", credentials.user);
  std::string file;
  const bool password = section.text("password_file", file);
  if (user != password) {
    const auto* const there = user ? "user" : "password_file";
    section.complain(
        there, fmt::format("{} needs both 'user' and 'password_file', or neither", section.what()));
    return;
  }
  if (!user) return;
  if (auto secret = read_secret(section, "password_file", file)) {
    credentials.password = std::move(*secret);
    options.credentials = std::move(credentials);
  }
}

void read_control(Section& section, SocksOptions& options) {
  std::optional<wire::SocketAddress> address;
  section.socket_address("control", address);
  std::string file;
  const bool cookie = section.text("control_cookie_file", file);
  std::string password_file;
  const bool password = section.text("control_password_file", password_file);
  if (!address) {
    if (cookie || password) {
      section.complain(cookie ? "control_cookie_file" : "control_password_file",
                       fmt::format("{} names a secret for Tor's control port, but no 'control', "
                                   "e.g. control: 127.0.0.1:9051",
                                   section.what()));
    }
    return;
  }
  if (!options.tor) {
    section.complain("control", fmt::format("'control' in {} is Tor's control port; it needs "
                                            "type: tor",
                                            section.what()));
    return;
  }
  options.control.emplace();
  options.control->address = *address;
  if (cookie) options.control->cookie_file = resolve_path(file, section.diagnostics());
  if (!password) return;
  if (auto secret = read_secret(section, "control_password_file", password_file)) {
    options.control->password = std::move(*secret);
  }
}

SocksOptions read_proxy(const Node& node, const std::string& name, Diagnostics& diagnostics) {
  SocksOptions options;
  options.name = name;
  const std::size_t before = diagnostics.count();
  Section section(node, fmt::format("proxy '{}'", name), diagnostics);
  section.require("type", "tor, or socks5");
  ProxyType type = ProxyType::kSocks5;
  section.choice("type", type, {{"socks5", ProxyType::kSocks5}, {"tor", ProxyType::kTor}});
  options.tor = type == ProxyType::kTor;
  read_address(section, options);
  read_inner(section, options);
  read_credentials(section, options);
  read_control(section, options);
  bool pipelined = options.sends_all_at_once();
  if (section.flag("pipelined", pipelined)) options.pipelined = pipelined;
  section.flag("optimistic", options.optimistic);
  section.duration("connect_timeout", options.connect_timeout, 100ms, 60s);
  section.duration("answer_timeout", options.answer_timeout, 1s, 600s);
  Duration wait = options.end_waits_for();
  if (section.duration("half_close_wait", wait, 0s, 1h)) options.half_close_wait = wait;
  section.duration("probe_min", options.probe_min, 10ms, 60s);
  section.duration("probe_max", options.probe_max, 10ms, 600s);
  section.integer("max_streams", options.max_streams, 1, 1 << 20);
  section.size("socket_buffer", options.socket_buffer, std::uint64_t{32} << 10,
               std::uint64_t{64} << 20);
  section.finish();
  // What the transport finds beyond the above has no place of its own in the file.
  if (auto good = transport::check(options); !good && diagnostics.count() == before) {
    diagnostics.add(section.mark(), good.error().message);
  }
  return options;
}

}  // namespace

std::vector<SocksOptions> read_proxies(const Node& node, Diagnostics& diagnostics) {
  std::vector<SocksOptions> proxies;
  if (node.kind != Node::Kind::kMap) {
    Section(node, "'proxies'", diagnostics).finish();
    return proxies;
  }
  for (const auto& entry : node.entries) {
    check_name(entry.key, "proxy", entry.mark, diagnostics);
    proxies.push_back(read_proxy(entry.value, entry.key, diagnostics));
  }
  return proxies;
}

}  // namespace vtl::config
