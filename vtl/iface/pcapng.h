// Pcapng blocks (draft-ietf-opsawg-pcapng), written: what Wireshark and tcpdump read.
//
// Bytes are appended to a buffer of the caller, who puts them into a file, a socket or a pipe. A
// file begins with a section header and one interface description per interface; packets name
// their interface by its number in that order. Times are nanoseconds since 1970, little-endian
// octet order. Thread rule: values.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vtl/base/bytes.h"

namespace vtl::iface {

/// The direction that a packet had at the interface; kUnknown writes none.
enum class CaptureDirection : std::uint8_t { kUnknown = 0, kInbound = 1, kOutbound = 2 };

/// `application` is written as what made the file.
void append_section_header(std::vector<std::uint8_t>& out, std::string_view application);
/// An Ethernet interface of that name. `snap_length` 0: frames are whole.
void append_interface(std::vector<std::uint8_t>& out, std::string_view name,
                      std::uint32_t snap_length = 0);
/// One frame. `captured` may be shorter than `original_size`. `comment` may be empty.
void append_packet(std::vector<std::uint8_t>& out, std::uint32_t interface,
                   std::int64_t nanoseconds, Bytes captured, std::size_t original_size,
                   CaptureDirection direction, std::string_view comment = {});
/// What an interface has seen so far: `dropped` of the `received` frames are not in the capture.
void append_statistics(std::vector<std::uint8_t>& out, std::uint32_t interface,
                       std::int64_t nanoseconds, std::uint64_t received, std::uint64_t dropped);

}  // namespace vtl::iface
