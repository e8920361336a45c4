// The `lab` program: the standard topologies to play in.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lab/must.h"
#include "lab/program/doctor.h"
#include "lab/sandbox.h"
#include "lab/topology.h"

namespace vtl::lab {
namespace {

struct Arguments {
  std::string topology = "segment";
  int mtu = 1500;
  bool joined = true;
  std::string folder;
  std::string command;
  std::string host;
  std::vector<std::string> program;
  bool json = false;
};

/// The folder is inside the sandbox, and vanishes with it, unless one is named.
Topology open_topology(const Arguments& arguments) {
  Topology topology = must(Topology::create({.shape = *parse_shape(arguments.topology),
                                             .mtu = arguments.mtu,
                                             .folder = arguments.folder}));
  if (arguments.joined) {
    for (Host* host : {&topology.host_a(), &topology.wan(), &topology.host_b()}) {
      must(topology.bridge_with_kernel(*host));
    }
  }
  return topology;
}

constexpr const char* kShellSettings = R"(
[ -n "$PS1" ] && [ -f ~/.bashrc ] && . ~/.bashrc
on() { local host=$1; shift; ip netns exec "$host" "$@"; }
[ -n "$PS1" ] && PS1='(lab) \w\$ '
)";

std::string banner(const Topology& topology, bool joined) {
  std::vector<std::string> names;
  for (const Host* host : topology.lab().hosts()) names.push_back(host->name());
  return fmt::format(
      R"({}
Hosts: {}
{}

  on client ping -c 3 {}
  on server iperf3 -s -D; on client iperf3 -c {}
  on hostA bash             a shell in a host

All of it vanishes when this shell ends.

)",
      topology.drawing(), fmt::join(names, " "),
      joined ? "Kernel bridges join hostA, wan and hostB (--not-joined leaves that to you)."
             : "Nothing joins the devices of hostA, wan and hostB: vtl bridge does.",
      topology.server_address(), topology.server_address());
}

/// PATH with the folder of this program first: `vtl` is beside it.
std::string path_with_own_folder() {
  const char* const path = std::getenv("PATH");
  return fmt::format("{}:{}",
                     std::filesystem::read_symlink("/proc/self/exe").parent_path().string(),
                     path != nullptr ? path : "/usr/bin:/bin");
}

/// Waits for a program that has the terminal and answers its status, as a shell tells it.
int attend(Process process) {
  // A key of the terminal that interrupts is meant for the program; this one ends with it.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGQUIT, SIG_IGN);
  const Exit exit = process.wait_for_end();
  return exit.signal != 0 ? 128 + exit.signal : exit.code;
}

int run_shell(const Arguments& arguments) {
  enter_sandbox();
  const Topology topology = open_topology(arguments);
  const auto settings = topology.lab().folder() / "shell-settings";
  std::ofstream(settings) << kShellSettings;
  Program shell{.argv = {"bash", "--rcfile", settings.string(), "-i"},
                .input_from = Input::kInherit};
  if (arguments.command.empty()) {
    fmt::print("{}", banner(topology, arguments.joined));
    std::fflush(stdout);
  } else {
    shell.argv = {"bash", "-c", ". \"$0\"\n" + arguments.command, settings.string()};
  }
  shell.environment["PATH"] = path_with_own_folder();
  return attend(must(Process::start(shell, topology.lab().folder())));
}

int run_program(const Arguments& arguments) {
  enter_sandbox();
  const Topology topology = open_topology(arguments);
  const Host& host = *must(topology.lab().host(arguments.host));
  return attend(must(host.start({.argv = arguments.program,
                                 .environment = {{"PATH", path_with_own_folder()}},
                                 .input_from = Input::kInherit})));
}

int run_hosts(const Arguments& arguments) {
  enter_sandbox();
  const Topology topology = open_topology(arguments);
  auto list = nlohmann::json::array();
  for (const Host* host : topology.lab().hosts()) {
    auto addresses = nlohmann::json::parse(must(host->output_of({"ip", "-json", "addr", "show"})));
    auto devices = nlohmann::json::array();
    for (const auto& device : addresses) {
      if (device["ifname"] == "lo") continue;
      auto entry = nlohmann::json{{"name", device["ifname"]},
                                  {"mac", device["address"]},
                                  {"mtu", device["mtu"]},
                                  {"addresses", nlohmann::json::array()}};
      for (const auto& address : device["addr_info"]) {
        if (address["scope"] == "link") continue;
        entry["addresses"].push_back(fmt::format("{}/{}", address["local"].get<std::string>(),
                                                 address["prefixlen"].get<int>()));
      }
      devices.push_back(std::move(entry));
    }
    list.push_back({{"host", host->name()}, {"devices", std::move(devices)}});
  }
  if (arguments.json) {
    fmt::print("{}\n", list.dump(2));
    return 0;
  }
  fmt::print("{}\n", topology.drawing());
  for (const auto& host : list) {
    for (const auto& device : host["devices"]) {
      fmt::print("{:<8} {:<7} {}  mtu {}  {}\n", host["host"].get<std::string>(),
                 device["name"].get<std::string>(), device["mac"].get<std::string>(),
                 device["mtu"].get<int>(),
                 fmt::join(device["addresses"].get<std::vector<std::string>>(), " "));
    }
  }
  return 0;
}

int run_doctor(const Arguments& arguments) {
  const auto findings = examine_machine();
  bool usable = true;
  auto list = nlohmann::json::array();
  for (const auto& finding : findings) {
    usable = usable && (finding.good || !finding.needed);
    list.push_back({{"name", finding.name},
                    {"good", finding.good},
                    {"needed", finding.needed},
                    {"detail", finding.detail}});
    if (!arguments.json) {
      fmt::print("{:<4} {:<20} {}\n",
                 finding.good     ? "ok"
                 : finding.needed ? "BAD"
                                  : "no",
                 finding.name, finding.detail);
    }
  }
  if (arguments.json) fmt::print("{}\n", list.dump(2));
  return usable ? 0 : 1;
}

void add_topology_options(CLI::App& command, Arguments& arguments) {
  command.add_option("--topology,-t", arguments.topology, "the standard topology")
      ->check(CLI::IsMember({"segment", "routed"}))
      ->capture_default_str();
  command.add_option("--mtu", arguments.mtu, "of every device")
      ->check(CLI::Range(576, 65535))
      ->capture_default_str();
  command.add_flag("!--not-joined", arguments.joined,
                   "leave the devices of hostA, wan and hostB apart, for vtl to join them");
  command.add_option("--folder", arguments.folder,
                     "keep what programs write here; otherwise it vanishes at the end");
}

int run(int argc, char** argv) {
  CLI::App app("The lab: machines, links and a long path between two sites, to play in.", "lab");
  app.require_subcommand(1);
  Arguments arguments;
  auto* const shell = app.add_subcommand("shell", "open a topology and a shell in it");
  add_topology_options(*shell, arguments);
  shell->add_option("--command,-c", arguments.command, "run this and end, instead of a prompt");
  auto* const run_in = app.add_subcommand("run", "run one program in a host of a topology");
  add_topology_options(*run_in, arguments);
  run_in->add_option("HOST", arguments.host, "client, hostA, wan, hostB, server, ...")->required();
  run_in->add_option("PROGRAM", arguments.program, "after --: the program and its arguments")
      ->required();
  auto* const hosts = app.add_subcommand("hosts", "list the hosts of a topology and their devices");
  add_topology_options(*hosts, arguments);
  hosts->add_flag("--json", arguments.json, "as JSON");
  auto* const doctor = app.add_subcommand("doctor", "what the lab can do here, and what to do");
  doctor->add_flag("--json", arguments.json, "as JSON");
  CLI11_PARSE(app, argc, argv);
  if (*shell) return run_shell(arguments);
  if (*run_in) return run_program(arguments);
  if (*hosts) return run_hosts(arguments);
  return run_doctor(arguments);
}

}  // namespace
}  // namespace vtl::lab

int main(int argc, char** argv) {
  try {
    return vtl::lab::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "lab: {}\n", error.what());
    return 1;
  }
}
