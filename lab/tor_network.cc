#include "lab/tor_network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "lab/wait.h"

namespace vtl::lab {
namespace {

constexpr const char* kRoot = "/run/tor";
constexpr int kAuthorities = 3;
constexpr int kExits = 2;
/// The service tells every relay of itself, of this period and of the next (rend-spec-v3, 2.2).
constexpr const char* kDescriptorStored = "Uploaded hidden service descriptor (status 200";
constexpr int kDescriptors = 2 * (kAuthorities + kExits);
constexpr Duration kKeysBound = 60s;
constexpr std::chrono::seconds kAnswerBound = 5s;

std::string folder_of(std::string_view name) {
  return fmt::format("{}/{}", kRoot, name);
}
std::string authority_name(int number) {
  return fmt::format("authority{}", number);
}
std::string exit_name(int number) {
  return fmt::format("exit{}", number);
}
int authority_octet(int number) {
  return 10 + number;
}
int exit_octet(int number) {
  return 10 + kAuthorities + number;
}
std::string relay_address(int octet) {
  return fmt::format("10.20.0.{}", octet);
}
std::string server_side_address(int octet) {
  return fmt::format("10.30.0.{}", octet);
}

Outcome<void> make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || ::chmod(path.c_str(), 0700) != 0)
    return fail(fmt::format("cannot make tor's folder {}: {}", path,
                            error ? error.message() : std::strerror(errno)));
  return {};
}

Outcome<std::string> content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) return fail(fmt::format("cannot read {}", path));
  return std::move(content).str();
}

Outcome<void> write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) return fail(fmt::format("cannot write {}", path));
  return {};
}

/// The rest of the first line of `text` that begins with `key` and a space.
std::optional<std::string> after(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + " ")) return line.substr(key.size() + 1);
  return std::nullopt;
}

int occurrences(const std::string& text, std::string_view part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// An authority signs with keys of its own, and everybody's configuration names them: made first.
class AuthorityKeys {
 public:
  static Outcome<AuthorityKeys> begin(Host& host, int number) {
    const std::string name = authority_name(number);
    const std::string folder = folder_of(name);
    for (const std::string& path : {folder, folder + "/keys"})
      if (auto made = make_folder(path); !made) return std::unexpected(made.error());
    auto certificate =
        host.start({.argv = {"tor-gencert", "--create-identity-key", "-m", "12", "-a",
                             relay_address(authority_octet(number)) + ":7000", "-i",
                             folder + "/keys/authority_identity_key", "-s",
                             folder + "/keys/authority_signing_key", "-c",
                             folder + "/keys/authority_certificate", "--passphrase-fd", "0"},
                    .name = name + "-gencert",
                    .input = "no secret\n"});
    if (!certificate) return std::unexpected(certificate.error());
    // An authority is asked for its fingerprint as a relay: it has no certificate yet.
    const std::string early = folder + "/early.torrc";
    const auto written = write_text(
        early, fmt::format("DataDirectory {}\nNickname {}\nAddress {}\nORPort 5000\nSocksPort 0\n"
                           "TestingTorNetwork 1\nDirAuthority none 10.20.0.1:7000 {:040}\n",
                           folder, name, relay_address(authority_octet(number)), 0));
    if (!written) return std::unexpected(written.error());
    auto fingerprint = host.start({.argv = {"tor", "--defaults-torrc", "/dev/null", "-f", early,
                                            "--list-fingerprint", "--quiet"},
                                   .name = name + "-fingerprint"});
    if (!fingerprint) return std::unexpected(fingerprint.error());
    return AuthorityKeys(number, std::move(*certificate), std::move(*fingerprint));
  }

  /// The line that tells everybody of this authority.
  Outcome<std::string> directory_line() {
    for (Process* each : {&certificate_, &fingerprint_})
      if (auto ended = each->wait_ok(kKeysBound); !ended) return std::unexpected(ended.error());
    const std::string name = authority_name(number_);
    const auto certificate = content_of(folder_of(name) + "/keys/authority_certificate");
    if (!certificate) return std::unexpected(certificate.error());
    const auto identity = after(*certificate, "fingerprint");
    auto own = after(fingerprint_.output(), name);
    if (!identity || !own)
      return fail(
          fmt::format("no fingerprint of {} in {}{}", name, *certificate, fingerprint_.output()));
    std::erase(*own, ' ');
    return fmt::format("DirAuthority {} orport=5000 no-v2 v3ident={} {}:7000 {}\n", name, *identity,
                       relay_address(authority_octet(number_)), *own);
  }

 private:
  AuthorityKeys(int number, Process certificate, Process fingerprint)
      : number_(number),
        certificate_(std::move(certificate)),
        fingerprint_(std::move(fingerprint)) {}
  int number_;
  Process certificate_, fingerprint_;
};

// --- what the processes are told ----------------------------------------------------------------

std::string common_settings(const std::string& name, const std::string& authorities) {
  return fmt::format(R"(DataDirectory {}
TestingTorNetwork 1
{}AssumeReachable 1
EnforceDistinctSubnets 0
VanguardsLiteEnabled 0
ShutdownWaitLength 0
SafeLogging 0
Log [app,edge]info notice stdout
)",
                     folder_of(name), authorities);
}

std::string relay_settings(const std::string& name, int octet) {
  return fmt::format(R"(Nickname {0}
Address {1}
ORPort {1}:5000 IPv4Only
OutboundBindAddressOR {1}
ContactInfo lab
SocksPort 0
)",
                     name, relay_address(octet));
}

/// The first consensus is voted for at a multiple of five seconds, the later ones every ten.
std::string authority_settings(int octet) {
  std::string exits;
  for (int number = 1; number <= kExits; ++number)
    exits += (number > 1 ? "," : "") + relay_address(exit_octet(number));
  return fmt::format(R"(AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
DirPort {}:7000 IPv4Only
ExitRelay 0
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 4
TestingAuthDirTimeToLearnReachability 0
TestingDirAuthVoteExit {}
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
AuthDirMaxServersPerAddr 0
)",
                     relay_address(octet), exits);
}

/// An exit refuses streams that come by a relay it has not heard of yet, which in the first seconds
/// may be any: RefuseUnknownExits.
std::string exit_settings(int octet) {
  return fmt::format(R"(ExitRelay 1
ExitPolicy accept *:*
ExitPolicyRejectPrivate 0
RefuseUnknownExits 0
OutboundBindAddressExit {}
ServerDNSResolvConfFile {}/resolv.conf
ServerDNSDetectHijacking 0
ServerDNSRandomizeCase 0
ServerDNSTestAddresses
)",
                     server_side_address(octet), kRoot);
}

std::string client_settings(const TorNetworkOptions& options) {
  return fmt::format(R"(SocksPort {0}:{1}
ControlPort {0}:{2}
CookieAuthentication 1
ClientRejectInternalAddresses 0
ClientDNSRejectInternalAddresses 0
{3})",
                     options.socks_address, options.socks_port, options.control_port,
                     options.client_extra);
}

std::string onion_settings(const TorNetworkOptions& options) {
  return fmt::format(
      "SocksPort 0\nHiddenServiceDir {}/service\nHiddenServicePort {} {}:{}\n"
      "Log [rend]info stdout\n",
      folder_of("onion"), options.onion_port, TorNetwork::kServerAddress, options.onion_target);
}

/// Starts the tor `name` in `host` with `settings`.
Outcome<Process> start_tor(Host& host, const std::string& name, const std::string& settings) {
  if (auto made = make_folder(folder_of(name)); !made) return std::unexpected(made.error());
  const std::string file = folder_of(name) + "/torrc";
  if (auto written = write_text(file, settings); !written) return std::unexpected(written.error());
  return host.start(
      {.argv = {"tor", "--defaults-torrc", "/dev/null", "-f", file}, .name = "tor-" + name});
}

// --- the control port
// -----------------------------------------------------------------------------

Outcome<Fd> connect_to(const Host& host, const std::string& address, std::uint16_t port) {
  const InHost inside = host.enter();
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval bound{.tv_sec = kAnswerBound.count(), .tv_usec = 0};
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1)
    return fail(fmt::format("'{}' is no IPv4 address", address));
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound) != 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return fail(fmt::format("cannot connect to tor's control port {}:{}: {}", address, port,
                            std::strerror(errno)));
  return socket;
}

/// Octets up to the end of the stream.
Outcome<std::string> read_to_end(int fd) {
  constexpr std::size_t kMost = 1 << 20;
  std::string text;
  std::array<char, 4096> some;
  while (text.size() < kMost) {
    const ssize_t n = ::recv(fd, some.data(), some.size(), 0);
    if (n == 0) return text;
    if (n < 0)
      return fail(fmt::format("tor's control port after '{}': {}", text, std::strerror(errno)));
    text.append(some.data(), static_cast<std::size_t>(n));
  }
  return fail("tor's control port says more than a mebibyte");
}

/// The answer to the command between the cookie and QUIT, of which the codes are taken off
/// (control-spec, 2.3): "250-key=value", "250+key=" lines ".", "250 OK".
Outcome<std::string> command_answer(const std::string& said, const std::string& command) {
  std::istringstream lines(said);
  std::string line, answer;
  std::getline(lines, line);
  if (!line.starts_with("250 ")) return fail("tor refuses the cookie: " + line);
  bool in_data = false;
  while (std::getline(lines, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (in_data) {
      in_data = line != ".";
      if (in_data) answer += line + "\n";
      continue;
    }
    if (line.size() < 4 || !line.starts_with("250"))
      return fail(fmt::format("tor refuses '{}': {}", command, line));
    if (line[3] == ' ') return answer;
    in_data = line[3] == '+';
    answer += line.substr(4) + "\n";
  }
  return fail(fmt::format("tor ends in the middle of its answer to '{}'", command));
}

std::string as_hex(const std::string& octets) {
  std::string text;
  for (const char c : octets) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

}  // namespace

struct TorNetwork::State {
  Host* client_host = nullptr;
  Host* server_host = nullptr;
  Host* relays_host = nullptr;
  TorNetworkOptions options;
  std::string authorities;  ///< lines of every torrc
  std::string onion;
  std::vector<Process> relays;
  std::optional<Process> names, service, client;

  Outcome<void> join(Lab& lab);
  Outcome<void> start_names();
  Outcome<void> make_keys();
  Outcome<void> start_relays();
  Outcome<void> wait_for_directory(Duration bound);
  Outcome<void> start_service();
  Outcome<void> start_client();
  Outcome<void> learn_onion(Duration bound);
};

Outcome<void> TorNetwork::State::join(Lab& lab) {
  auto host = lab.add_host("tor");
  if (!host) return std::unexpected(host.error());
  relays_host = *host;
  for (auto joined : {lab.connect({*client_host, "tor0"}, {*relays_host, "tor0"}),
                      lab.connect({*relays_host, "exits0"}, {*server_host, "eth0"})})
    if (!joined) return joined;
  std::string addresses;
  for (int octet = authority_octet(1); octet <= exit_octet(kExits); ++octet)
    addresses += fmt::format("addr add {}/24 dev tor0\n", relay_address(octet));
  for (int number = 1; number <= kExits; ++number)
    addresses +=
        fmt::format("addr add {}/24 dev exits0\n", server_side_address(exit_octet(number)));
  if (auto done = relays_host->ip(addresses); !done) return done;
  if (auto done = client_host->ip(fmt::format("addr add {}/24 dev tor0", kClientAddress)); !done)
    return done;
  // The onion service is a client of the network.
  return server_host->ip(fmt::format("addr add {}/24 dev eth0\nroute add 10.20.0.0/24 via {}",
                                     kServerAddress, server_side_address(exit_octet(1))));
}

Outcome<void> TorNetwork::State::start_names() {
  // --no-daemon leaves it the user that it is, which may be the only one here.
  std::vector<std::string> argv{"dnsmasq",           "--no-daemon",   "--conf-file=",
                                "--no-resolv",       "--no-hosts",    "--listen-address=127.0.0.1",
                                "--bind-interfaces", "--log-queries", "--log-facility=-"};
  argv.push_back(fmt::format("--host-record={},{}", kServerName, kServerAddress));
  for (const auto& [name, address] : options.names)
    argv.push_back(fmt::format("--host-record={},{}", name, address));
  auto process = relays_host->start({.argv = std::move(argv)});
  if (!process) return std::unexpected(process.error());
  names.emplace(std::move(*process));
  if (auto up = names->wait_for_port(Protocol::kUdp, 53, 10s); !up) return up;
  return write_text(fmt::format("{}/resolv.conf", kRoot), "nameserver 127.0.0.1\n");
}

Outcome<void> TorNetwork::State::make_keys() {
  std::vector<AuthorityKeys> keys;
  for (int number = 1; number <= kAuthorities; ++number) {
    auto begun = AuthorityKeys::begin(*relays_host, number);
    if (!begun) return std::unexpected(begun.error());
    keys.push_back(std::move(*begun));
  }
  for (AuthorityKeys& each : keys) {
    auto line = each.directory_line();
    if (!line) return std::unexpected(line.error());
    authorities += *line;
  }
  return {};
}

Outcome<void> TorNetwork::State::start_relays() {
  const auto add = [&](const std::string& name, int octet,
                       const std::string& more) -> Outcome<void> {
    auto relay = start_tor(*relays_host, name,
                           common_settings(name, authorities) + relay_settings(name, octet) + more);
    if (!relay) return std::unexpected(relay.error());
    relays.push_back(std::move(*relay));
    return {};
  };
  for (int number = 1; number <= kAuthorities; ++number) {
    const int octet = authority_octet(number);
    if (auto done = add(authority_name(number), octet, authority_settings(octet)); !done)
      return done;
  }
  for (int number = 1; number <= kExits; ++number) {
    const int octet = exit_octet(number);
    if (auto done = add(exit_name(number), octet, exit_settings(octet)); !done) return done;
  }
  return {};
}

/// Who comes before all relays are known goes on with those that are: with a single exit, or with
/// fewer directories for the onion service.
Outcome<void> TorNetwork::State::wait_for_directory(Duration bound) {
  const auto complete = [](int number) {
    const auto text = content_of(folder_of(authority_name(number)) + "/cached-microdesc-consensus");
    return text && occurrences(*text, "\nr ") == kAuthorities + kExits &&
           occurrences(*text, "\ns Exit ") == kExits;
  };
  const auto all = [&] {
    for (int number = 1; number <= kAuthorities; ++number)
      if (!complete(number)) return false;
    return true;
  };
  if (wait_until(all, bound)) return {};
  return fail("tor's authorities do not agree on all relays; the first says:\n" +
              relays.front().output());
}

Outcome<void> TorNetwork::State::start_service() {
  auto process = start_tor(*server_host, "onion",
                           common_settings("onion", authorities) + onion_settings(options));
  if (!process) return std::unexpected(process.error());
  service.emplace(std::move(*process));
  return {};
}

Outcome<void> TorNetwork::State::start_client() {
  auto process = start_tor(*client_host, "client",
                           common_settings("client", authorities) + client_settings(options));
  if (!process) return std::unexpected(process.error());
  client.emplace(std::move(*process));
  return client->wait_for_port(Protocol::kTcp, options.control_port, 10s);
}

Outcome<void> TorNetwork::State::learn_onion(Duration bound) {
  const std::string file = folder_of("onion") + "/service/hostname";
  const auto known = [&] {
    const auto text = content_of(file);
    if (text) onion = text->substr(0, text->find('\n'));
    return !onion.empty();
  };
  if (!wait_until(known, bound))
    return fail("the onion service has no name; tor says:\n" + service->output());
  return {};
}

TorNetwork::TorNetwork(std::unique_ptr<State> state) : state_(std::move(state)) {}
TorNetwork::TorNetwork(TorNetwork&&) noexcept = default;
TorNetwork& TorNetwork::operator=(TorNetwork&&) noexcept = default;
TorNetwork::~TorNetwork() = default;

Outcome<TorNetwork> TorNetwork::start(Lab& lab, Host& client, Host& server,
                                      const TorNetworkOptions& options, Duration bound) {
  auto state = std::make_unique<State>();
  state->client_host = &client;
  state->server_host = &server;
  state->options = options;
  if (auto made = make_folder(kRoot); !made) return std::unexpected(made.error());
  if (auto done = state->join(lab); !done) return std::unexpected(done.error());
  if (auto done = state->start_names(); !done) return std::unexpected(done.error());
  if (auto done = state->make_keys(); !done) return std::unexpected(done.error());
  if (auto done = state->start_relays(); !done) return std::unexpected(done.error());
  if (auto done = state->wait_for_directory(bound); !done) return std::unexpected(done.error());
  if (auto done = state->start_service(); !done) return std::unexpected(done.error());
  if (auto done = state->start_client(); !done) return std::unexpected(done.error());
  if (auto done = state->learn_onion(10s); !done) return std::unexpected(done.error());
  TorNetwork network(std::move(state));
  if (auto done = network.wait_for_circuit(bound); !done) return std::unexpected(done.error());
  return network;
}

std::vector<std::string> TorNetwork::exit_addresses() {
  std::vector<std::string> addresses;
  for (int number = 1; number <= kExits; ++number)
    addresses.push_back(server_side_address(exit_octet(number)));
  return addresses;
}

const std::string& TorNetwork::onion() const noexcept {
  return state_->onion;
}

Outcome<void> TorNetwork::wait_for_onion(Duration bound) {
  // A client that asks before the service has told all directories of itself is told that there is
  // no such service, and asks none of them again within a minute.
  const auto told_all = [&] {
    return occurrences(state_->service->output(), kDescriptorStored) >= kDescriptors;
  };
  if (!wait_until(told_all, bound))
    return fail("the onion service is not made known; tor says:\n" + state_->service->output());
  std::string last;
  const auto reached = [&] {
    const auto ran = state_->client_host->run(
        {.argv = {"nc", "-z", "-w", "10", "-X", "5", "-x",
                  fmt::format("{}:{}", state_->options.socks_address, state_->options.socks_port),
                  state_->onion, std::to_string(state_->options.onion_port)},
         .name = "nc-onion"},
        20s);
    if (ran) return true;
    last = ran.error().message;
    (void)control("SIGNAL NEWNYM");  // which forgets whom it has asked
    return false;
  };
  if (wait_until(reached, bound)) return {};
  return fail("no stream to the onion service: " + last);
}

Outcome<std::string> TorNetwork::control(const std::string& command) {
  const auto cookie = content_of(cookie_file());
  if (!cookie) return std::unexpected(cookie.error());
  const auto socket =
      connect_to(*state_->client_host, state_->options.socks_address, state_->options.control_port);
  if (!socket) return std::unexpected(socket.error());
  const std::string text =
      fmt::format("AUTHENTICATE {}\r\n{}\r\nQUIT\r\n", as_hex(*cookie), command);
  if (::send(socket->get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size()))
    return fail(fmt::format("tor's control port: {}", std::strerror(errno)));
  const auto said = read_to_end(socket->get());
  if (!said) return std::unexpected(said.error());
  return command_answer(*said, command);
}

Outcome<void> TorNetwork::wait_for_circuit(Duration bound) {
  std::string last;
  const auto ready = [&] {
    const auto told = control("GETINFO status/bootstrap-phase status/circuit-established");
    last = told ? *told : told.error().message;
    return last.find("PROGRESS=100") != std::string::npos &&
           last.find("circuit-established=1") != std::string::npos;
  };
  if (wait_until(ready, bound)) return {};
  return fail(
      fmt::format("tor has no circuit: {}\nand its log:\n{}", last, state_->client->output()));
}

std::filesystem::path TorNetwork::cookie_file() const {
  return folder_of("client") + "/control_auth_cookie";
}

void TorNetwork::kill_client() {
  state_->client.reset();
}

Outcome<void> TorNetwork::start_client() {
  return state_->start_client();
}

std::string TorNetwork::client_log() const {
  return state_->client ? state_->client->output() : "";
}

std::string TorNetwork::queries() const {
  return state_->names->errors();
}

}  // namespace vtl::lab
