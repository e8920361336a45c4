#include "vtl/cli/app.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>

#include "vtl/cli/query.h"
#include "vtl/cli/run.h"
#include "vtl/control/protocol.h"

namespace vtl::cli {
namespace {

constexpr std::uint32_t kMaxWorkers = 64;

// Where every subcommand's arguments live while the command line is parsed, and what is then run.
struct Arguments {
  std::string file;
  std::string device;
  BridgeArguments bridge;
  QueryArguments query;
  control::DumpRequest dump;
  control::ActRequest act;
  std::string dump_file = "-";
  std::function<int()> command;
};

void add_run(CLI::App& app, Arguments& arguments) {
  auto* const run = app.add_subcommand("run", "Run a configuration until a signal ends it");
  run->add_option("FILE", arguments.file, "The configuration, YAML")->required();
  run->callback([&] { arguments.command = [&] { return run_file(arguments.file); }; });

  auto* const check = app.add_subcommand("check", "Check a configuration; nothing is started");
  check->add_option("FILE", arguments.file, "The configuration, YAML")->required();
  check->callback([&] { arguments.command = [&] { return check_file(arguments.file); }; });

  auto* const unseal_device = app.add_subcommand(
      "unseal", "Take away the seal that a vtl which has ended left on a device");
  unseal_device->add_option("DEVICE", arguments.device, "The guest's device")->required();
  unseal_device->callback([&] { arguments.command = [&] { return unseal(arguments.device); }; });

  auto* const bridge = app.add_subcommand("bridge", "Join two devices, without a configuration");
  bridge->add_option("A", arguments.bridge.guest, "The guest's device")->required();
  bridge->add_option("B", arguments.bridge.network, "The network's device")->required();
  bridge->add_option("--workers", arguments.bridge.workers, "Threads that carry frames")
      ->check(CLI::Range(std::uint32_t{1}, kMaxWorkers));
  bridge->add_option("--socket", arguments.bridge.socket, "Control socket; none if not given");
  bridge->callback([&] { arguments.command = [&] { return run_bridge(arguments.bridge); }; });
}

void add_query(CLI::App& app, Arguments& arguments, const std::string& name,
               const std::string& help, int (*show)(const QueryArguments&)) {
  auto* const query = app.add_subcommand(name, help);
  query->add_option("--socket", arguments.query.socket, "Control socket of the running vtl");
  query->add_flag("--json", arguments.query.json, "JSON, for scripts");
  query->callback([&arguments, show] {
    arguments.command = [&arguments, show] { return show(arguments.query); };
  });
}

void add_dump(CLI::App& app, Arguments& arguments) {
  auto* const dump =
      app.add_subcommand("dump", "Show the frames at one place of a link, as pcapng");
  dump->add_option("LINK", arguments.dump.link, "The link's name")->required();
  dump->add_option("--at", arguments.dump.boundary,
                   "0: between guest and first service; N: after the Nth service");
  dump->add_option("--filter", arguments.dump.filter, "pcap filter");
  dump->add_option("--snap", arguments.dump.snap_length, "Octets kept of each frame")
      ->check(CLI::Range(64, 65535));
  dump->add_option("-w", arguments.dump_file, "File to write; standard output if not given");
  dump->add_option("--socket", arguments.query.socket, "Control socket of the running vtl");
  dump->callback([&] {
    arguments.command = [&] {
      return run_dump(arguments.query.socket, arguments.dump, arguments.dump_file);
    };
  });
}

// `vtl anonymizer new-identity LINK`: what a service can be asked for while it runs.
void add_anonymizer(CLI::App& app, Arguments& arguments) {
  auto* const kind = app.add_subcommand("anonymizer", "Ask a link's anonymizer for something");
  kind->require_subcommand(1);
  auto* const renew = kind->add_subcommand(
      "new-identity", "What the guest opens from now on shares no way with what it opened before");
  renew->add_option("LINK", arguments.act.link, "The link's name")->required();
  renew->add_option("--socket", arguments.query.socket, "Control socket of the running vtl");
  renew->add_flag("--json", arguments.query.json, "JSON, for scripts");
  renew->callback([&] {
    arguments.act.service = "anonymizer";
    arguments.act.action = "new-identity";
    arguments.command = [&] {
      return ask_to_act(arguments.query, arguments.act,
                        "new connections have a new identity; open ones keep theirs");
    };
  });
}

}  // namespace

int run(int argc, char** argv) {
  Arguments arguments;
  arguments.query.socket = control::kDefaultSocket;
  CLI::App app{"VTL, the Virtual Traffic Layer: transparent network services under a guest", "vtl"};
  app.set_version_flag("--version", "vtl " VTL_VERSION);
  app.require_subcommand(1);
  add_run(app, arguments);
  add_query(app, arguments, "status", "Interfaces, links, peers and proxies", show_status);
  add_query(app, arguments, "flows", "Connections, and how each is transformed", show_flows);
  add_query(app, arguments, "stats", "Every counter and every drop's reason", show_stats);
  add_query(app, arguments, "stop", "Stop a running vtl in order", ask_to_stop);
  add_dump(app, arguments);
  add_anonymizer(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  return arguments.command();
}

}  // namespace vtl::cli
