#include "lab/initramfs.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <iterator>

namespace vtl::lab {

void CpioArchive::pad() {
  bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0');
}

void CpioArchive::add(const Entry& entry) {
  // Thirteen numbers of eight hexadecimal digits: inode, mode, uid, gid, links, time, size,
  // device major and minor, special major and minor, length of the name, checksum (unused).
  fmt::format_to(
      std::back_inserter(bytes_),
      "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
      ++inode_, entry.mode, 0, 0, 1, 0, entry.content.size(), 0, 0, entry.device_major,
      entry.device_minor, entry.path.size() + 1, 0);
  bytes_.append(entry.path).push_back('\0');
  pad();
  bytes_.append(entry.content);
  pad();
}

void CpioArchive::add_directory(std::string_view path) {
  add({.path = path, .mode = S_IFDIR | 0755});
}

void CpioArchive::add_file(std::string_view path, std::string_view content, bool executable) {
  add({.path = path, .mode = S_IFREG | (executable ? 0755U : 0644U), .content = content});
}

void CpioArchive::add_link(std::string_view path, std::string_view target) {
  add({.path = path, .mode = S_IFLNK | 0777, .content = target});
}

void CpioArchive::add_character_device(std::string_view path, std::uint32_t major,
                                       std::uint32_t minor) {
  add({.path = path, .mode = S_IFCHR | 0600, .device_major = major, .device_minor = minor});
}

std::string CpioArchive::finish() {
  add({.path = "TRAILER!!!"});
  inode_ = 0;
  return std::exchange(bytes_, {});
}

}  // namespace vtl::lab
