// An initial file system for Linux: a cpio archive (newc) built in memory.
//
// Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel. Every
// entry is root's, with time 0, so the same content gives the same octets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vtl/base/result.h"

namespace vtl::lab {

class CpioArchive {
 public:
  void add_directory(std::string_view path);
  void add_file(std::string_view path, std::string_view content, bool executable = false);
  void add_link(std::string_view path, std::string_view target);
  void add_character_device(std::string_view path, std::uint32_t major, std::uint32_t minor);
  /// Ends the archive and gives it away.
  [[nodiscard]] std::string finish();

 private:
  struct Entry {
    std::string_view path;
    std::uint32_t mode = 0;
    std::string_view content{};
    std::uint32_t device_major = 0, device_minor = 0;
  };
  void add(const Entry& entry);
  void pad();

  std::string bytes_;
  std::uint32_t inode_ = 0;
};

}  // namespace vtl::lab
