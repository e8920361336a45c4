// A lab with real parts: a guest whose whole network is VTL's anonymizer, a SOCKS proxy on another
// host, and servers behind that.
//
//   guest ---------- guest0 [vtl] up0 ----------- up0 [proxy] out0 ---------- eth0 server
//     eth0           10.50.0.1    10.40.0.2      10.40.0.1    10.30.0.14       10.30.0.1, .2, .3
//   10.137.0.9/24    (sealed)                    SOCKS :1080                   fd30::1
//   default, DNS: 10.137.0.1
//
// The host [vtl] is the worst there could be: it forwards, has an address on the guest's device and
// serves on all its addresses. On its devices nobody speaks by himself: IPv6 is
// quiet, and the neighbours on up0 are set. What joins the guest to VTL is a GuestDevice. The
// guest's look-ups go to 10.137.0.1 for all programs of the sandbox. Names that the proxy knows:
// server.example, two.example (10.30.0.2), silent.example (10.30.0.3, which drops all),
// gone.example (10.30.0.99, which nobody has), home.example (127.0.0.1), host.example (10.40.0.2),
// proxy.example (10.40.0.1).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lab/lab.h"
#include "lab/process.h"
#include "lab/socks_server.h"
#include "lab/web_server.h"

namespace vtl::test {

enum class GuestDevice : std::uint8_t {
  kVeth,   ///< drawn above: VTL has guest0 as `af_packet`
  kVmTap,  ///< guest0 is a tap as a virtual machine has: a program takes its frames to a tap of
           ///< the guest's and back
  kTap,    ///< the guest's eth0 is VTL's own `tap`; guest0 is a bridge without ports
  kBridgedTap,  ///< a bridge of [vtl] joins guest0 to VTL's own `tap`; the bridge hears the guest
};

struct AnonymizerLabOptions {
  lab::SocksServerOptions::Program program = lab::SocksServerOptions::Program::kDante;
  /// YAML of the proxy `one`, flow style.
  std::string proxy =
      "{ type: socks5, address: 10.40.0.1, port: 1080, inner: allowed, probe_max: 500ms }";
  /// The proxy runs in [vtl] itself, at 127.0.0.1.
  bool proxy_at_home = false;
  std::vector<std::string> refused{};  ///< by dante: networks
  std::string egress = "{ allow: 10.30.0.0/16 }";
  GuestDevice guest_device = GuestDevice::kVeth;
  std::string isolation = "none";  ///< others need a proxy that takes any user and password
  std::string service_extra{};     ///< further keys, flow style: ", echo: true"
  bool configure_guest = true;     ///< with a static address; else by the test
  lab::WebServerOptions web{};
};

class AnonymizerLab {
 public:
  static constexpr const char* kServerName = "server.example";
  static constexpr const char* kServerAddress = "10.30.0.1";
  static constexpr const char* kProxyOutside = "10.30.0.14";
  static constexpr std::uint16_t kHostPort = 7777;  ///< where [vtl] itself serves

  /// Everything runs: servers, the proxy, VTL.
  explicit AnonymizerLab(AnonymizerLabOptions options = {});

  [[nodiscard]] lab::Lab& lab() { return lab_; }
  [[nodiscard]] lab::Host& guest() { return guest_; }
  [[nodiscard]] lab::Host& host() { return host_; }
  [[nodiscard]] lab::Host& proxy() { return proxy_; }
  [[nodiscard]] lab::Host& server() { return server_; }
  [[nodiscard]] lab::WebServer& web() { return *web_; }
  [[nodiscard]] lab::Process& vtl() { return *vtl_; }

  void start_proxy();
  void kill_proxy() { socks_.reset(); }
  void kill_vtl() { vtl_.reset(); }
  void start_vtl();

  /// What a program of the guest writes to standard output; its failure is an error.
  Outcome<std::string> guest_runs(std::vector<std::string> argv, Duration bound = 60s);
  /// The guest configures itself, by busybox' udhcpc, with `more` options: "ADDRESS ROUTER DNS
  /// LEASE".
  Outcome<std::string> ask_for_address(std::vector<std::string> more = {}, Duration bound = 60s);
  /// VTL's own toward the guest, which must have spoken to its gateway.
  std::string vtl_mac();
  /// curl, silent but for errors.
  Outcome<std::string> curl(const std::string& url, std::vector<std::string> more = {});
  /// What `vtl COMMAND... --json` says, and a metric of the service, or how many frames were
  /// dropped for `reason`.
  Outcome<std::string> ask(std::vector<std::string> command);
  /// The same as people see it.
  Outcome<std::string> show(std::vector<std::string> command);
  double metric(const std::string& name);
  double drops(const std::string& reason);

 private:
  void connect_guest();
  void join_taps();
  void configure_guest();

  AnonymizerLabOptions options_;
  lab::Lab lab_;
  lab::Host& guest_;
  lab::Host& host_;
  lab::Host& proxy_;
  lab::Host& server_;
  std::optional<lab::WebServer> web_;
  std::optional<lab::SocksServer> socks_;
  std::optional<lab::Process> host_server_, taps_, vtl_;
};

}  // namespace vtl::test
