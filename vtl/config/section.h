// Section: one map of the configuration being read, key by key, into typed values.
//
// A reader asks for the keys it knows; finish() then complains about all that nobody asked for.
// Every complaint has the place in the file, says what is wrong and what would be right. A reader
// returns whether the key was there and right; otherwise the target keeps what it had (its
// default). Thread rule: one thread; the nodes must outlive the section.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/config/document.h"
#include "vtl/wire/addresses.h"

namespace vtl::config {

class Section {
 public:
  /// `what`: how messages call it, e.g. "peer 'siteb'". A node that is no map is complained about;
  /// nothing at all is an empty map.
  Section(const Node& node, std::string what, Diagnostics& diagnostics);

  [[nodiscard]] const std::string& what() const noexcept { return what_; }
  [[nodiscard]] Mark mark() const noexcept { return node_.mark; }
  [[nodiscard]] Diagnostics& diagnostics() const noexcept { return diagnostics_; }

  /// The value of `key`, or null.
  [[nodiscard]] const Node* find(std::string_view key);
  /// The same; complains when it is missing. `example`: what could stand there.
  const Node* require(std::string_view key, std::string_view example);
  /// The place of the value of `key`, else of the section.
  [[nodiscard]] Mark mark_of(std::string_view key) const;

  /// Any text that is not empty.
  bool text(std::string_view key, std::string& out);
  bool text(std::string_view key, std::optional<std::string>& out);
  bool flag(std::string_view key, bool& out);

  /// A whole number in [least, most].
  template <class T>
  bool integer(std::string_view key, T& out, std::int64_t least, std::int64_t most) {
    return assign(out, read_integer(key, least, most));
  }
  /// Octets in [least, most].
  template <class T>
  bool size(std::string_view key, T& out, std::uint64_t least, std::uint64_t most) {
    return assign(out, read_size(key, least, most));
  }
  template <class T>
  bool duration(std::string_view key, T& out, Duration least, Duration most) {
    return assign(out, read_duration(key, least, most));
  }
  /// Bits a second.
  template <class T>
  bool rate(std::string_view key, T& out, std::uint64_t least, std::uint64_t most) {
    return assign(out, read_rate(key, least, most));
  }
  /// A share in [0, most].
  template <class T>
  bool fraction(std::string_view key, T& out, double most = 1.0) {
    return assign(out, read_fraction(key, most));
  }
  template <class T>
  bool port(std::string_view key, T& out) {
    return assign(out, read_port(key));
  }
  template <class T>
  bool mac(std::string_view key, T& out) {
    return assign(out, read_mac(key));
  }
  template <class T>
  bool address(std::string_view key, T& out) {
    return assign(out, read_address(key));
  }
  /// "192.0.2.1:80" or "[2001:db8::1]:80".
  template <class T>
  bool socket_address(std::string_view key, T& out) {
    return assign(out, read_socket_address(key));
  }
  /// One of a few words.
  template <class T>
  bool choice(std::string_view key, T& out,
              std::initializer_list<std::pair<std::string_view, T>> choices) {
    std::vector<std::string_view> words;
    for (const auto& [word, value] : choices) words.push_back(word);
    const auto word = read_choice(key, words);
    for (const auto& [candidate, value] : choices) {
      if (word == candidate) out = value;
    }
    return word.has_value();
  }
  /// A pcap-filter expression that libpcap compiles for Ethernet.
  bool filter(std::string_view key, std::string& out);

  /// A word that must be one of `names`, the `things` that the file defines.
  bool reference(std::string_view key, std::string& out, std::string_view things,
                 std::span<const std::string_view> names);

  /// Complains, at the value of `key`.
  void complain(std::string_view key, std::string message);
  /// Complains about every key that no reader asked for.
  void finish();

 private:
  template <class T, class V>
  static bool assign(T& out, const std::optional<V>& value) {
    if (value) out = static_cast<T>(*value);
    return value.has_value();
  }

  template <class Parse>
  auto read(std::string_view key, std::string_view wanted, Parse parse)
      -> decltype(parse(std::string_view{}));

  std::optional<std::int64_t> read_integer(std::string_view key, std::int64_t least,
                                           std::int64_t most);
  std::optional<std::uint64_t> read_size(std::string_view key, std::uint64_t least,
                                         std::uint64_t most);
  std::optional<Duration> read_duration(std::string_view key, Duration least, Duration most);
  std::optional<std::uint64_t> read_rate(std::string_view key, std::uint64_t least,
                                         std::uint64_t most);
  std::optional<double> read_fraction(std::string_view key, double most);
  std::optional<wire::Port> read_port(std::string_view key);
  std::optional<wire::MacAddress> read_mac(std::string_view key);
  std::optional<wire::IpAddress> read_address(std::string_view key);
  std::optional<wire::SocketAddress> read_socket_address(std::string_view key);
  std::optional<std::string_view> read_choice(std::string_view key,
                                              std::span<const std::string_view> words);

  const Node& node_;
  std::string what_;
  Diagnostics& diagnostics_;
  std::vector<std::string_view> known_;
};

/// The names of a map's entries.
[[nodiscard]] std::vector<std::string_view> names_of(const Node& map);

}  // namespace vtl::config
