// Guests of other kinds, and programs of another kind, behind two gateways and VTL's WAN: a tap
// device that VTL makes and a container is given, and ssh.
//
//   guest -- tap0 -- [ VTL A: gateway ] -- [ VTL: impair ] -- [ VTL B: gateway ] -- server
//            (drawing of the rest: lab/topology.h)

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "lab/must.h"
#include "lab/sandbox.h"
#include "lab/wait.h"
#include "tests/support/gateway_lab.h"
#include "vtl/base/rng.h"

namespace vtl::test {
namespace {

using lab::must;

constexpr std::size_t kFileOctets = VTL_SANITIZED ? 4'000'000 : 20'000'000;

bool has_device(const lab::Host& host, const std::string& device) {
  const auto names = host.devices();
  return std::ranges::find(names, device) != names.end();
}

std::string hash_of(const std::filesystem::path& path, const lab::Host& host) {
  return must(host.output_of({"sha256sum", path.string()})).substr(0, 64);
}

// A file of noise; answers its SHA-256.
std::string write_noise(const std::filesystem::path& path, const lab::Host& host) {
  Rng rng(8);
  std::string content(kFileOctets, '\0');
  for (char& c : content) c = static_cast<char>(rng.next());
  std::ofstream(path, std::ios::binary) << content;
  return hash_of(path, host);
}

TEST(GatewayGuests, AContainerOnATapOfVtlFetchesAndUploadsAFile) {
  auto lab = must(GatewayLab::create({.delay = "5ms", .guest_a = "{ type: tap, device: tap0 }"}));
  must(lab.start_both());
  auto& t = lab.topology();
  // As for a container: the device moves into the guest's namespace, VTL keeps its other end.
  lab::Host& guest = *must(t.lab().add_host("guest"));
  must(t.host_a().ip("link set tap0 netns guest"));
  must(guest.ip("addr add 10.0.0.7/24 dev tap0\nlink set tap0 up"));
  must(guest.wait_for_carrier("tap0"));

  const auto folder = t.lab().folder();
  const std::string hash = write_noise(folder / "file", t.server());
  auto web = must(t.server().start(
      {.argv = {"busybox", "httpd", "-f", "-v", "-p", "80", "-h", folder.string()}}));
  must(web.wait_for_port(lab::Protocol::kTcp, 80, 10s));
  must(guest.output_of({"curl", "--silent", "--show-error", "--fail", "--output",
                        (folder / "fetched").string(), "http://10.0.0.2/file"},
                       60s));
  EXPECT_EQ(hash_of(folder / "fetched", guest), hash);
  EXPECT_NE(web.errors().find("10.0.0.7"), std::string::npos) << "the server sees who really calls";
  EXPECT_EQ(must(lab.metric('a', "established_total")), 1);

  auto sink = must(
      t.server().start({.argv = {"sh", "-c", "nc -l -p 81 > " + (folder / "uploaded").string()}}));
  must(sink.wait_for_port(lab::Protocol::kTcp, 81, 10s));
  must(guest.output_of({"sh", "-c", "nc -N 10.0.0.2 81 < " + (folder / "file").string()}, 60s));
  must(sink.wait_ok(30s));
  EXPECT_EQ(hash_of(folder / "uploaded", guest), hash);
  EXPECT_EQ(must(lab.metric('a', "established_total")), 2);

  // The device is VTL's own: it goes with it, from wherever it is.
  EXPECT_TRUE(must(lab.a().stop(30s)).ok()) << lab.a().errors();
  EXPECT_TRUE(lab::wait_until([&] { return !has_device(guest, "tap0"); }, 10s));
}

// OpenSSH's server in a host, for root with one key, started by hand and not as a service.
class Sshd {
 public:
  static constexpr std::uint16_t kPort = 2222;

  Sshd(lab::Host& host, const std::string& address, const std::filesystem::path& folder)
      : folder_(folder) {
    std::filesystem::create_directories("/run/sshd");  // the sandbox's own /run
    for (const char* name : {"host_key", "user_key"}) {
      must(host.output_of({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file(name)}));
    }
    std::ifstream pub(file("host_key.pub"));
    std::string type, key;
    pub >> type >> key;
    std::ofstream(file("known_hosts")) << fmt::format("[{}]:{} {} {}\n", address, kPort, type, key);
    std::ofstream(file("sshd_config")) << fmt::format(
        "Port {}\nListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n"
        "UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        kPort, address, file("host_key"), file("user_key.pub"));
    daemon_.emplace(
        must(host.start({.argv = {"/usr/sbin/sshd", "-D", "-e", "-f", file("sshd_config")}})));
    must(daemon_->wait_for_port(lab::Protocol::kTcp, kPort, 10s));
  }

  /// What `ssh` needs to reach it, and the command to run there.
  [[nodiscard]] std::string command(const std::string& address, const std::string& remote) const {
    return fmt::format(
        "ssh -F none -p {} -i {} -o IdentitiesOnly=yes -o BatchMode=yes "
        "-o StrictHostKeyChecking=yes -o UserKnownHostsFile={} root@{} {}",
        kPort, file("user_key"), file("known_hosts"), address, remote);
  }
  [[nodiscard]] std::string errors() const { return daemon_->errors(); }

 private:
  [[nodiscard]] std::string file(const std::string& name) const {
    return (folder_ / name).string();
  }
  std::filesystem::path folder_;
  std::optional<lab::Process> daemon_;
};

TEST(GatewayGuests, SshCarriesAFileBothWaysAtOnce) {
  if (const auto sandbox = must(lab::current_sandbox());
      sandbox.user_namespace && !sandbox.many_users) {
    GTEST_SKIP() << "sshd needs a second user, and this sandbox has root alone (no newuidmap)";
  }
  auto lab = must(GatewayLab::create({.delay = "5ms", .loss = "0.1%"}));
  must(lab.start_both());
  auto& t = lab.topology();
  const auto folder = t.lab().folder();
  const Sshd sshd(t.server(), t.server_address(), folder);
  const std::string hash = write_noise(folder / "file", t.client());
  // Up, and back down while more goes up.
  const auto echoed =
      t.client().output_of({"sh", "-c",
                            fmt::format("{} < {} > {}", sshd.command(t.server_address(), "cat"),
                                        (folder / "file").string(), (folder / "echoed").string())},
                           120s);
  ASSERT_TRUE(echoed) << echoed.error().message << "\nsshd: " << sshd.errors();
  EXPECT_EQ(hash_of(folder / "echoed", t.client()), hash);
  // Each way alone.
  must(t.client().output_of(
      {"sh", "-c",
       fmt::format(
           "{} < {}",
           sshd.command(t.server_address(), fmt::format("'cat > {}'", (folder / "up").string())),
           (folder / "file").string())},
      120s));
  EXPECT_EQ(hash_of(folder / "up", t.server()), hash);
  must(t.client().output_of(
      {"sh", "-c",
       fmt::format("{} > {}", sshd.command(t.server_address(), "cat " + (folder / "file").string()),
                   (folder / "down").string())},
      120s));
  EXPECT_EQ(hash_of(folder / "down", t.client()), hash);
  EXPECT_EQ(must(lab.metric('a', "established_total")), 3);
}

}  // namespace
}  // namespace vtl::test
