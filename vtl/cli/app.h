// The command line of `vtl`: which subcommands there are, their options, and what they exit with.
#pragma once

namespace vtl::cli {

/// What a shell sees.
enum ExitCode : int {
  kSuccess = 0,
  kFailure = 1,  ///< something failed while running
  kUsage = 2,    ///< the command line or the configuration is wrong; nothing was started
};

/// Parses the command line and runs the subcommand; returns the exit code.
int run(int argc, char** argv);

}  // namespace vtl::cli
