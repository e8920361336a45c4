// Lab: the hosts and links of one run, and the folder that keeps what its programs wrote.
//
// Deterministic: the first device that the lab makes is 02:00:00:00:00:01 with interface index
// 101, the next ...:02 and 102, and so on, so a capture is readable and equal from run to run.
//
// Thread rule: one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lab/host.h"

namespace vtl::lab {

struct LinkOptions {
  int mtu = 1500;
  Offloads offloads = Offloads::kKeep;  ///< of both ends
};

/// One end of a link.
struct Plug {
  Host& host;
  std::string device;
};

class Lab {
 public:
  /// In a sandbox only. The folder is made; an empty one stands for default_folder().
  explicit Lab(std::filesystem::path folder = {});
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;
  ~Lab();

  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// Lives as long as the lab, at the same place.
  [[nodiscard]] Outcome<Host*> add_host(const std::string& name, const HostOptions& options = {});
  /// The host of that name; an error that lists the names there are.
  [[nodiscard]] Outcome<Host*> host(const std::string& name) const;
  [[nodiscard]] std::vector<Host*> hosts() const;

  /// A veth pair between two hosts, both ends up and with a carrier.
  [[nodiscard]] Outcome<void> connect(const Plug& a, const Plug& b,
                                      const LinkOptions& options = {});

  /// The MAC address that the next device gets.
  [[nodiscard]] wire::MacAddress next_mac() const noexcept;

 private:
  std::filesystem::path folder_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::uint16_t devices_ = 0;
};

/// Where a Lab that is told no folder keeps its files: inside the sandbox, so that they vanish
/// with it, unless set_default_folder() has named another (the test listener does, per test).
[[nodiscard]] std::filesystem::path default_folder();
void set_default_folder(std::filesystem::path folder);

}  // namespace vtl::lab
