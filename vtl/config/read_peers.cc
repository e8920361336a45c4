// Peers: `name: { transport: ..., address: ..., port: ..., listen: ..., key_file: ..., ... }`.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "vtl/config/readers.h"
#include "vtl/transport/make_transport.h"

namespace vtl::config {
namespace {

using transport::Options;

constexpr std::size_t kMaxKey = 4096;

void read_addresses(Section& section, Options& options) {
  wire::IpAddress address;
  wire::Port port;
  const bool has_address = section.address("address", address);
  const bool has_port = section.port("port", port);
  const bool tried_address = section.find("address") != nullptr;
  const bool tried_port = section.find("port") != nullptr;
  if (tried_address && !tried_port) {
    section.complain("address", fmt::format("{} has an 'address' but no 'port', e.g. port: 9000",
                                            section.what()));
  }
  if (tried_port && !tried_address) {
    section.complain("port", fmt::format("{} has a 'port' but no 'address', e.g. address: "
                                         "198.51.100.7",
                                         section.what()));
  }
  if (has_address && has_port) options.remote = wire::SocketAddress{address, port};
  section.socket_address("listen", options.local);
  if (options.local && options.local->port.value() == 0) {
    section.complain("listen", fmt::format("'listen' in {} needs a port from 1 to 65535, e.g. "
                                           "0.0.0.0:9000",
                                           section.what()));
  }
  if (!tried_address && !tried_port && section.find("listen") == nullptr) {
    section.diagnostics().add(
        section.mark(),
        fmt::format("{} needs 'address' and 'port' (where the peer listens), or 'listen' (where "
                    "the peer reaches us), or both",
                    section.what()));
  }
}

// A key that stands in the configuration makes a secret of the whole file. What is no file (a pipe,
// a test's text) is its maker's to keep.
void check_configuration_is_private(Section& section, const Options& options) {
  const auto& path = section.diagnostics().file();
  struct stat status{};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (!is_open_to_others(status)) return;
  section.complain("key",
                   fmt::format("the key of {} stands in a file that is open to other users (mode "
                               "{:04o}); right would be: chmod 600 {}, or the key in a file of its "
                               "own: key_file: {}.key",
                               section.what(), status.st_mode & 07777, path, options.name));
}

void read_key_file(Section& section, const std::string& written, Options& options) {
  auto key = read_secret(section, "key_file", written, "key file",
                         "; make one with: (umask 077; openssl rand -hex 32 > {})");
  if (key) options.key = std::move(*key);
}

void read_key(Section& section, Options& options) {
  std::string key_file;
  const bool has_file = section.text("key_file", key_file);
  const bool has_key = section.text("key", options.key);
  if (section.find("key_file") == nullptr && section.find("key") == nullptr) {
    section.diagnostics().add(
        section.mark(), fmt::format("{} needs 'key_file', the file with the secret that both peers "
                                    "share, e.g. key_file: {}.key",
                                    section.what(), options.name));
    return;
  }
  if (has_file && has_key) {
    section.complain(
        "key", fmt::format("{} has both 'key' and 'key_file'; keep key_file", section.what()));
    return;
  }
  if (has_file) read_key_file(section, key_file, options);
  if (has_key) check_configuration_is_private(section, options);
  const auto place = has_file ? "key_file" : "key";
  if (!options.key.empty() &&
      (options.key.size() < Options::kMinKey || options.key.size() > kMaxKey)) {
    section.complain(place,
                     fmt::format("the key of {} has {} characters; it must have {} to {}, e.g. "
                                 "what this prints: openssl rand -hex 32",
                                 section.what(), options.key.size(), Options::kMinKey, kMaxKey));
  }
}

void read_tuning(Section& section, TransportKind kind, Options& options) {
  section.size("buffer", options.buffer, std::uint64_t{64} << 10, std::uint64_t{1} << 30);
  section.size("memory", options.memory, std::uint64_t{1} << 20, std::uint64_t{1} << 40);
  if (kind == TransportKind::kUdt) {
    section.size("udp_buffer", options.udp_buffer, std::uint64_t{64} << 10,
                 std::uint64_t{256} << 20);
    section.integer("mss", options.mss, 576, 9000);
    section.choice("rate_control", options.rate_control,
                   {{"vtl", transport::RateControlKind::kVtl},
                    {"native", transport::RateControlKind::kNative}});
  } else {
    section.text("congestion", options.congestion);
  }
  section.integer("warm", options.warm, 0, 64);
  section.integer("max_streams", options.max_streams, 1, 65536);
  section.integer("max_half_open", options.max_half_open, 1, 65536);
  section.duration("handshake_timeout", options.handshake_timeout, 100ms, 60s);
  section.duration("answer_timeout", options.answer_timeout, 1s, 600s);
  section.duration("linger", options.linger, 1s, 600s);
  section.duration("idle_timeout", options.idle_timeout, 1s, 1h);
  section.duration("probe_min", options.probe_min, 10ms, 60s);
  section.duration("probe_max", options.probe_max, 10ms, 600s);
  if (options.probe_max < options.probe_min) {
    section.complain("probe_max",
                     fmt::format("'probe_max' in {} is shorter than 'probe_min'", section.what()));
  }
}

PeerConfig read_peer(const Node& node, const std::string& name, Diagnostics& diagnostics) {
  PeerConfig peer;
  peer.options.name = name;
  const std::size_t before = diagnostics.count();
  Section section(node, fmt::format("peer '{}'", name), diagnostics);
  section.choice("transport", peer.transport,
                 {{"udt", TransportKind::kUdt}, {"tcp", TransportKind::kTcp}});
  read_addresses(section, peer.options);
  read_key(section, peer.options);
  read_tuning(section, peer.transport, peer.options);
  section.finish();
  // What the transport finds beyond the above has no place of its own in the file.
  if (auto good = transport::check(peer.options); !good && diagnostics.count() == before) {
    diagnostics.add(section.mark(), good.error().message);
  }
  return peer;
}

/// UDT's socket of a local address is one for all peers that listen there.
void check_shared_port(const PeerConfig& peer, const std::vector<PeerConfig>& others, Mark mark,
                       Diagnostics& diagnostics) {
  if (peer.transport != TransportKind::kUdt || !peer.options.local) return;
  for (const PeerConfig& other : others) {
    if (other.transport != peer.transport || other.options.local != peer.options.local) continue;
    for (const auto& [key, same] :
         {std::pair{"mss", other.options.mss == peer.options.mss},
          std::pair{"rate_control", other.options.rate_control == peer.options.rate_control}})
      if (!same)
        diagnostics.add(mark, fmt::format("peer '{}' listens on the same address as peer '{}' with "
                                          "another '{}'; it must be the same for both",
                                          peer.options.name, other.options.name, key));
    return;
  }
}

}  // namespace

std::vector<PeerConfig> read_peers(const Node& node, Diagnostics& diagnostics) {
  std::vector<PeerConfig> peers;
  if (node.kind != Node::Kind::kMap) {
    Section(node, "'peers'", diagnostics).finish();
    return peers;
  }
  for (const auto& entry : node.entries) {
    check_name(entry.key, "peer", entry.mark, diagnostics);
    auto peer = read_peer(entry.value, entry.key, diagnostics);
    // A listener finds the peer by its key.
    const auto twin = std::ranges::find_if(peers, [&](const PeerConfig& other) {
      return other.options.local && other.options.local == peer.options.local &&
             other.transport == peer.transport && other.options.key == peer.options.key;
    });
    if (twin != peers.end() && !peer.options.key.empty()) {
      diagnostics.add(entry.mark,
                      fmt::format("peer '{}' listens on the same address with the same key as peer "
                                  "'{}'; give each a key of its own",
                                  entry.key, twin->options.name));
    }
    check_shared_port(peer, peers, entry.mark, diagnostics);
    peers.push_back(std::move(peer));
  }
  return peers;
}

}  // namespace vtl::config
