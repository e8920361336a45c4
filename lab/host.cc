#include "lab/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "lab/sandbox.h"
#include "lab/wait.h"

namespace vtl::lab {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

/// The file of a sysctl: dots are separators unless the key has slashes.
std::string sysctl_file(std::string key) {
  if (key.find('/') == std::string::npos) std::ranges::replace(key, '.', '/');
  return "/proc/sys/" + key;
}

/// "key = value" of each setting that a fresh host gets, in this order.
std::vector<std::pair<std::string, std::string>> fresh_settings(const HostOptions& options) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const char* where : {"all", "default"}) {
    const std::string v4 = fmt::format("net/ipv4/conf/{}/", where);
    settings.emplace_back(v4 + "arp_ignore", "1");
    settings.emplace_back(v4 + "arp_announce", "2");
    settings.emplace_back(v4 + "rp_filter", "0");
    settings.emplace_back(v4 + "accept_redirects", "0");
    settings.emplace_back(v4 + "send_redirects", "0");
    const std::string v6 = fmt::format("net/ipv6/conf/{}/", where);
    settings.emplace_back(v6 + "accept_dad", "0");
    settings.emplace_back(v6 + "dad_transmits", "0");
    settings.emplace_back(v6 + "accept_ra", "0");
    settings.emplace_back(v6 + "router_solicitations", "0");
    settings.emplace_back(v6 + "disable_ipv6", options.ipv6 == Ipv6::kOff ? "1" : "0");
    if (options.router) settings.emplace_back(v6 + "forwarding", "1");
  }
  constexpr const char* kNoAddress = "1";
  if (options.ipv6 == Ipv6::kNoNoise) {
    settings.emplace_back("net/ipv6/conf/default/addr_gen_mode", kNoAddress);
  }
  if (options.router) settings.emplace_back("net/ipv4/ip_forward", "1");
  // The stock of the protocol itself; the last one keeps a connection's fate from the next.
  for (const char* on :
       {"tcp_sack", "tcp_timestamps", "tcp_window_scaling", "tcp_dsack", "tcp_moderate_rcvbuf",
        "tcp_slow_start_after_idle", "tcp_no_metrics_save"}) {
    settings.emplace_back(fmt::format("net/ipv4/{}", on), "1");
  }
  settings.emplace_back("net/ipv4/tcp_ecn", "2");
  settings.emplace_back("net/ipv4/tcp_mtu_probing", "0");
  return settings;
}

std::string numbers(const std::array<std::uint64_t, 3>& values) {
  return fmt::format("{} {} {}", values[0], values[1], values[2]);
}

/// The commands of `ip` that make `route`, as `ip route show table all` tells it, choose a
/// congestion control; none when it does, or carries no TCP.
std::string choose_by_route(std::string route, const std::string& congestion_control) {
  const std::string choice = " congctl " + congestion_control;
  if (route.find(choice) != std::string::npos) return "";
  for (const char* kind : {"broadcast ", "multicast ", "anycast ", "unreachable ", "prohibit ",
                           "blackhole ", "throw "})
    if (route.starts_with(kind)) return "";
  // What `ip route show` adds and `ip route replace` does not take, and an older choice.
  route += ' ';
  for (const char* shown : {" congctl ", " linkdown ", " dead ", " pref medium "}) {
    const auto at = route.find(shown);
    if (at == std::string::npos) continue;
    const auto next = route.find(' ', at + std::strlen(shown));
    const bool has_value = shown == std::string_view(" congctl ");
    route.erase(at, (has_value ? next - at : std::strlen(shown) - 1));
  }
  route.pop_back();
  constexpr std::string_view kKernels = " metric 0";  // no other route of IPv6 may have it
  const auto metric = route.find(kKernels);
  if (metric == std::string::npos) return fmt::format("route replace {}{}\n", route, choice);
  // The route of an address goes with the address only while it is the kernel's own: but ::1 stays.
  if (!route.starts_with("local ::1 ")) return "";
  std::string ours = route;
  ours.replace(metric, kKernels.size(), " metric 1");
  return fmt::format("route del {}\nroute add {}{}\n", route, ours, choice);
}

/// Removes the output files of a helper that has done its work.
void forget_output(const Process& process) {
  std::error_code ignored;
  std::filesystem::remove(process.output_path(), ignored);
  std::filesystem::remove(process.errors_path(), ignored);
}

}  // namespace

InHost::InHost(int netns) : before_(::open(kOwnNamespace, O_RDONLY | O_CLOEXEC)) {
  if (!before_ || ::setns(netns, CLONE_NEWNET) != 0) {
    fmt::print(stderr, "lab: cannot enter a network namespace: {}\n", std::strerror(errno));
    std::abort();
  }
}

InHost::~InHost() {
  if (::setns(before_.get(), CLONE_NEWNET) != 0) std::abort();
}

TcpSettings TcpSettings::raised(std::uint64_t octets, std::string congestion_control) {
  TcpSettings settings;
  settings.congestion_control = std::move(congestion_control);
  settings.receive_buffer[2] = octets;
  settings.send_buffer[2] = octets;
  return settings;
}

Host::Host(std::string name, std::filesystem::path folder, Fd netns)
    : name_(std::move(name)), folder_(std::move(folder)), netns_(std::move(netns)) {}

Host::~Host() {
  if (!netns_) return;
  const std::string path = "/run/netns/" + name_;
  ::umount2(path.c_str(), MNT_DETACH);
  ::unlink(path.c_str());
}

Outcome<Host> Host::create(std::string name, std::filesystem::path folder,
                           const HostOptions& options) {
  if (auto sandbox = current_sandbox(); !sandbox) return std::unexpected(sandbox.error());
  const std::string path = "/run/netns/" + name;
  const auto failed = [&](const char* what) {
    return fail(fmt::format("host {}: cannot {}: {}", name, what, std::strerror(errno)));
  };
  const Fd place(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!place) return failed("make its name");
  const Fd before(::open(kOwnNamespace, O_RDONLY | O_CLOEXEC));
  if (!before || ::unshare(CLONE_NEWNET) != 0) return failed("make a network namespace");
  Fd netns(::open(kOwnNamespace, O_RDONLY | O_CLOEXEC));
  const bool named = netns && ::mount(kOwnNamespace, path.c_str(), "none", MS_BIND, nullptr) == 0;
  const int mount_error = errno;
  if (::setns(before.get(), CLONE_NEWNET) != 0) std::abort();
  errno = mount_error;
  if (!named) return failed("name its network namespace");
  Host host(std::move(name), std::move(folder), std::move(netns));
  if (auto done = host.furnish(options); !done) return std::unexpected(done.error());
  return host;
}

Outcome<void> Host::furnish(const HostOptions& options) {
  for (const auto& [key, value] : fresh_settings(options)) {
    // A kernel without IPv6 has no settings for it, and needs none.
    if (key.starts_with("net/ipv6") && !std::filesystem::exists("/proc/sys/net/ipv6")) continue;
    if (auto done = set_sysctl(key, value); !done) return done;
  }
  if (auto done = set_tcp(options.tcp); !done) return done;
  return ip("link set lo up");
}

Outcome<void> Host::set_sysctl(const std::string& key, const std::string& value) {
  const InHost inside = enter();
  const std::string path = sysctl_file(key);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file &&
      ::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size())) {
    return {};
  }
  const int error = errno;
  std::string hint;
  if (error == EACCES || error == EROFS) hint = " (it belongs to the whole machine, not to a host)";
  if (error == EPERM) hint = " (this machine's policy does not let a host choose it)";
  if (error == ENOENT && !file) hint = " (this kernel has no such setting)";
  return fail(fmt::format("host {}: cannot set sysctl {} to '{}': {}{}", name_, key, value,
                          std::strerror(error), hint));
}

Outcome<std::string> Host::sysctl(const std::string& key) const {
  const InHost inside = enter();
  std::ifstream file(sysctl_file(key));
  std::string value;
  if (!std::getline(file, value)) {
    return fail(fmt::format("host {}: cannot read sysctl {}", name_, key));
  }
  return value;
}

std::vector<std::string> Host::congestion_controls() const {
  std::vector<std::string> names;
  std::istringstream text(sysctl("net.ipv4.tcp_available_congestion_control").value_or(""));
  for (std::string name; text >> name;) names.push_back(name);
  return names;
}

Outcome<void> Host::set_tcp(const TcpSettings& settings) {
  for (const auto& [key, value] : {std::pair("tcp_rmem", settings.receive_buffer),
                                   std::pair("tcp_wmem", settings.send_buffer)}) {
    if (auto done = set_sysctl(fmt::format("net.ipv4.{}", key), numbers(value)); !done) return done;
  }
  const std::string& wanted = settings.congestion_control;
  // An earlier choice that stands on the routes goes before the namespace's own.
  const bool on_routes = !route_congestion_control_.empty();
  auto chosen = set_sysctl("net.ipv4.tcp_congestion_control", wanted);
  if (chosen && !on_routes) return {};
  if (chosen) {
    route_congestion_control_ = wanted;
    return put_congestion_control_on_routes();
  }
  const auto available = congestion_controls();
  if (std::ranges::find(available, wanted) == available.end()) {
    return fail(fmt::format(
        "host {}: this kernel offers no congestion control '{}' now, only {}: as root outside the "
        "lab, modprobe tcp_{} may bring it",
        name_, wanted, fmt::join(available, ", "), wanted));
  }
  // tcp_allowed_congestion_control of the machine leaves it out. A route may still choose it.
  route_congestion_control_ = wanted;
  return put_congestion_control_on_routes();
}

Outcome<void> Host::put_congestion_control_on_routes() {
  if (route_congestion_control_.empty()) return {};
  for (const std::string family : {"-4", "-6"}) {
    auto listed =
        Process::start({.argv = {"ip", family, "-n", name_, "route", "show", "table", "all"},
                        .name = name_ + "-routes"},
                       folder_);
    if (!listed) return std::unexpected(listed.error());
    if (auto done = listed->wait_ok(5s); !done) return std::unexpected(done.error());
    std::istringstream routes(listed->output());
    forget_output(*listed);
    std::string changes;
    for (std::string route; std::getline(routes, route);)
      changes += choose_by_route(route, route_congestion_control_);
    if (changes.empty()) continue;
    if (auto done = run_ip(changes, family); !done) return done;
  }
  return {};
}

Outcome<void> Host::ip(std::string_view commands) {
  if (auto done = run_ip(commands); !done) return done;
  return put_congestion_control_on_routes();
}

Outcome<void> Host::run_ip(std::string_view commands, const std::string& family) {
  std::vector<std::string> argv{"ip", "-n", name_, "-batch", "-"};
  if (!family.empty()) argv.insert(argv.begin() + 1, family);
  auto process = Process::start(
      {.argv = std::move(argv), .name = name_ + "-ip", .input = std::string(commands)}, folder_);
  if (!process) return std::unexpected(process.error());
  const auto exit = process->wait(10s);
  if (!exit) return std::unexpected(exit.error());
  if (exit->ok()) {
    forget_output(*process);
    return {};
  }
  // "Command failed -:N" names the line.
  const std::string errors = process->errors();
  std::string line(commands);
  if (const auto at = errors.rfind("-:"); at != std::string::npos) {
    std::istringstream lines(line);
    for (long n = std::strtol(errors.c_str() + at + 2, nullptr, 10); n > 0; --n) {
      std::getline(lines, line);
    }
  }
  return fail(fmt::format("host {}: ip {}: {}", name_, line, errors));
}

Outcome<std::map<std::string, bool>> Host::features(const std::string& device) const {
  const InHost inside = enter();
  return lab::features(device);
}

Outcome<void> Host::set_features(const std::string& device,
                                 const std::map<std::string, bool>& wanted) {
  const InHost inside = enter();
  return lab::set_features(device, wanted);
}

Outcome<void> Host::set_offloads(const std::string& device, Offloads offloads) {
  if (offloads == Offloads::kKeep) return {};
  const InHost inside = enter();
  return turn_offloads_off(device);
}

Outcome<wire::MacAddress> Host::mac(const std::string& device) const {
  const InHost inside = enter();
  return mac_of(device);
}

std::vector<std::string> Host::devices() const {
  const InHost inside = enter();
  return device_names();
}

Outcome<void> Host::wait_for_carrier(const std::string& device, Duration bound) {
  const InHost inside = enter();
  if (wait_until([&] { return is_running(device); }, bound)) return {};
  return fail(
      fmt::format("host {}: device {} has no carrier (is its other end up?)", name_, device));
}

Outcome<void> Host::add_tap(const std::string& device, int mtu) {
  return ip(fmt::format("tuntap add dev {0} mode tap\nlink set dev {0} mtu {1} up\n", device, mtu));
}

Outcome<void> Host::add_bridge(const std::string& bridge, const std::vector<std::string>& devices) {
  std::string commands = fmt::format(
      "link add name {0} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n", bridge);
  for (const auto& device : devices) {
    commands += fmt::format("link set dev {} master {} up\n", device, bridge);
  }
  return ip(commands + fmt::format("link set dev {} up\n", bridge));
}

Outcome<void> Host::add_vlan(const std::string& device, std::uint16_t id) {
  auto done = ip(fmt::format(
      "link add link {0} name {0}.{1} type vlan id {1}\nlink set dev {0}.{1} up\n", device, id));
  if (done || done.error().message.find("Unknown device type") == std::string::npos) return done;
  return fail(fmt::format(
      "host {}: this kernel has no VLAN devices now: as root outside the lab, modprobe 8021q may "
      "bring them",
      name_));
}

Outcome<Process> Host::start(Program program) const {
  if (program.name.empty() && !program.argv.empty()) {
    program.name = std::filesystem::path(program.argv[0]).filename().string();
  }
  program.name = fmt::format("{}-{}", name_, program.name);
  return Process::start(program, folder_, netns_.get());
}

Outcome<Process> Host::run(Program program, Duration bound) const {
  auto process = start(std::move(program));
  if (!process) return process;
  if (auto exit = process->wait_ok(bound); !exit) return std::unexpected(exit.error());
  return process;
}

Outcome<std::string> Host::output_of(std::vector<std::string> argv, Duration bound) const {
  auto process = run({.argv = std::move(argv)}, bound);
  if (!process) return std::unexpected(process.error());
  return process->output();
}

}  // namespace vtl::lab
