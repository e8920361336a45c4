// TorNetwork: a private Tor network of the packaged `tor`, with the real programs' own protocols.
//
//   client ------------- tor0 [tor] exits0 ------------ server
//     tor0            authority1 10.20.0.11              eth0
//   10.20.0.2/24      authority2 10.20.0.12          10.30.0.1/24
//   tor: SOCKS,       authority3 10.20.0.13          tor: the onion
//   control port      exit1      10.20.0.14  10.30.0.14   service
//                     exit2      10.20.0.15  10.30.0.15
//                     dnsmasq    127.0.0.1:53 (the exits ask it)
//
// Seven processes: three directory authorities, which relay too, two exits, a client and an onion
// service. The client cannot reach the server but through the network: [tor] forwards nothing.
// A new network has its first consensus some ten seconds after the keys are made; start() returns
// when the client has a circuit.
//
// What tor asks for and how it is met: relays and clients with private addresses in one subnet need
// TestingTorNetwork; ExitPolicyRejectPrivate and VanguardsLiteEnabled are off, for five relays are
// too few for the latter. It runs as root, also as the one user of a user namespace, with a
// warning; its folders are /run/tor/NAME with mode 700, short and inside the sandbox. Its output is
// kept with the hosts' folders.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab/lab.h"

namespace vtl::lab {

struct TorNetworkOptions {
  std::string socks_address = "127.0.0.1";  ///< in the client's host; the control port's too
  std::uint16_t socks_port = 9050;
  std::uint16_t control_port = 9051;
  /// Names at the exits, besides TorNetwork::kServerName; an address has its name in reverse.
  std::map<std::string, std::string> names{};
  std::uint16_t onion_port = 80;    ///< of the onion service
  std::uint16_t onion_target = 80;  ///< TorNetwork::kServerAddress:onion_target
  /// Lines more for the client's torrc.
  std::string client_extra{};
};

class TorNetwork {
 public:
  static constexpr const char* kServerAddress = "10.30.0.1";
  static constexpr const char* kServerName = "server.example";
  static constexpr const char* kClientAddress = "10.20.0.2";

  /// Adds the host `tor` to `lab`, joins `client` (device tor0) and `server` (device eth0) to it
  /// and starts the network. `lab` and both hosts outlive it. Within `bound` the client has a
  /// circuit.
  [[nodiscard]] static Outcome<TorNetwork> start(Lab& lab, Host& client, Host& server,
                                                 const TorNetworkOptions& options = {},
                                                 Duration bound = 120s);
  TorNetwork(TorNetwork&&) noexcept;
  TorNetwork& operator=(TorNetwork&&) noexcept;
  ~TorNetwork();

  /// The addresses that the server can see: those of the exits.
  [[nodiscard]] static std::vector<std::string> exit_addresses();
  /// "xyz....onion".
  [[nodiscard]] const std::string& onion() const noexcept;
  /// Waits until a stream to the onion service opens; its target has to listen.
  [[nodiscard]] Outcome<void> wait_for_onion(Duration bound = 60s);

  /// What the client answers on its control port to `command` ("GETINFO circuit-status"), without
  /// the codes of the lines. Fails when it refuses it.
  [[nodiscard]] Outcome<std::string> control(const std::string& command);
  /// Until the client has all it needs and a circuit.
  [[nodiscard]] Outcome<void> wait_for_circuit(Duration bound = 60s);
  /// The client's authentication cookie.
  [[nodiscard]] std::filesystem::path cookie_file() const;

  /// Ends the client at once, as a crash would.
  void kill_client();
  /// Starts it again, with what it had stored; wait_for_circuit() says when it is of use.
  [[nodiscard]] Outcome<void> start_client();
  /// What the client has said; nothing after kill_client().
  [[nodiscard]] std::string client_log() const;
  /// The names that the exits have asked for, and the answers: dnsmasq's log.
  [[nodiscard]] std::string queries() const;

 private:
  struct State;
  explicit TorNetwork(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vtl::lab
