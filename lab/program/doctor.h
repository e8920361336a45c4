// doctor: what the lab can do on this machine, and what to do about the rest.
#pragma once

#include <string>
#include <vector>

namespace vtl::lab {

struct Finding {
  std::string name;  ///< "user namespaces"
  bool good = false;
  bool needed = false;  ///< without it nothing works; otherwise it is for some things only
  std::string detail;   ///< what was found, or what to do
};

/// Looks at the machine. Called outside a sandbox; may start processes and leaves nothing.
[[nodiscard]] std::vector<Finding> examine_machine();

}  // namespace vtl::lab
