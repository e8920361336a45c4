#include "vtl/config/section.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vtl/config/units.h"
#include "vtl/service/filter.h"

namespace vtl::config {

Section::Section(const Node& node, std::string what, Diagnostics& diagnostics)
    : node_(node), what_(std::move(what)), diagnostics_(diagnostics) {
  if (node.kind != Node::Kind::kMap && node.kind != Node::Kind::kNull) {
    diagnostics_.add(node.mark,
                     fmt::format("{} must be a map (key: value), not {}", what_,
                                 node.kind == Node::Kind::kScalar ? fmt::format("'{}'", node.text)
                                                                  : std::string(node.what())));
  }
}

const Node* Section::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.push_back(key);
  const auto entry = std::ranges::find(node_.entries, key, &Node::Entry::key);
  return entry == node_.entries.end() ? nullptr : &entry->value;
}

const Node* Section::require(std::string_view key, std::string_view example) {
  const Node* const node = find(key);
  const bool readable = node_.kind == Node::Kind::kMap || node_.kind == Node::Kind::kNull;
  if (node == nullptr && readable) {
    diagnostics_.add(node_.mark,
                     fmt::format("{} needs '{}', e.g. {}: {}", what_, key, key, example));
  }
  return node;
}

Mark Section::mark_of(std::string_view key) const {
  const auto entry = std::ranges::find(node_.entries, key, &Node::Entry::key);
  if (entry == node_.entries.end()) return node_.mark;
  return entry->value.kind == Node::Kind::kNull ? entry->mark : entry->value.mark;
}

void Section::complain(std::string_view key, std::string message) {
  diagnostics_.add(mark_of(key), std::move(message));
}

void Section::finish() {
  for (const auto& entry : node_.entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    diagnostics_.add(entry.mark, fmt::format("unknown key '{}' in {}{}", entry.key, what_,
                                             suggestion(entry.key, known_)));
  }
}

template <class Parse>
auto Section::read(std::string_view key, std::string_view wanted, Parse parse)
    -> decltype(parse(std::string_view{})) {
  const Node* const node = find(key);
  if (node == nullptr) return std::nullopt;
  if (node->kind == Node::Kind::kScalar) {
    if (auto value = parse(std::string_view(node->text))) return value;
  }
  complain(key, fmt::format("'{}' in {} must be {}, not {}", key, what_, wanted,
                            node->kind == Node::Kind::kScalar ? fmt::format("'{}'", node->text)
                                                              : std::string(node->what())));
  return std::nullopt;
}

bool Section::text(std::string_view key, std::string& out) {
  const auto value = read(key, "text", [](std::string_view text) {
    return text.empty() ? std::nullopt : std::optional<std::string>(text);
  });
  return assign(out, value);
}

bool Section::text(std::string_view key, std::optional<std::string>& out) {
  std::string value;
  if (!text(key, value)) return false;
  out = std::move(value);
  return true;
}

bool Section::flag(std::string_view key, bool& out) {
  return assign(out, read(key, "true or false", parse_flag));
}

namespace {

// Narrows what a parser accepts to [least, most].
template <class Parse, class T>
auto within(Parse parse, T least, T most) {
  return [=](std::string_view text) -> std::optional<T> {
    const auto value = parse(text);
    return value && *value >= least && *value <= most ? std::optional<T>(*value) : std::nullopt;
  };
}

}  // namespace

std::optional<std::int64_t> Section::read_integer(std::string_view key, std::int64_t least,
                                                  std::int64_t most) {
  return read(key, fmt::format("a whole number from {} to {}", least, most),
              within(parse_integer, least, most));
}

std::optional<std::uint64_t> Section::read_size(std::string_view key, std::uint64_t least,
                                                std::uint64_t most) {
  return read(
      key, fmt::format("a size from {} to {}, e.g. 16MiB", format_size(least), format_size(most)),
      within(parse_size, least, most));
}

std::optional<Duration> Section::read_duration(std::string_view key, Duration least,
                                               Duration most) {
  return read(key,
              fmt::format("a duration from {} to {}, e.g. 30ms", format_duration(least),
                          format_duration(most)),
              within(parse_duration, least, most));
}

std::optional<std::uint64_t> Section::read_rate(std::string_view key, std::uint64_t least,
                                                std::uint64_t most) {
  return read(
      key,
      fmt::format("a rate from {} to {}, e.g. 100Mbit/s", format_rate(least), format_rate(most)),
      within(parse_rate, least, most));
}

std::optional<double> Section::read_fraction(std::string_view key, double most) {
  return read(key, fmt::format("a share from 0% to {}%, e.g. 0.1%", most * 100),
              within(parse_fraction, 0.0, most));
}

std::optional<wire::Port> Section::read_port(std::string_view key) {
  const auto value = read_integer(key, 1, 65535);
  if (!value) return std::nullopt;
  return wire::Port(static_cast<std::uint16_t>(*value));
}

std::optional<wire::MacAddress> Section::read_mac(std::string_view key) {
  return read(key, "a MAC address such as 02:00:5e:10:00:01", wire::MacAddress::parse);
}

std::optional<wire::IpAddress> Section::read_address(std::string_view key) {
  return read(key, "an IP address such as 198.51.100.7 or 2001:db8::7", wire::IpAddress::parse);
}

std::optional<wire::SocketAddress> Section::read_socket_address(std::string_view key) {
  return read(key, "an address and a port such as 127.0.0.1:9464 or [::1]:9464",
              wire::SocketAddress::parse);
}

std::optional<std::string_view> Section::read_choice(std::string_view key,
                                                     std::span<const std::string_view> words) {
  const Node* const node = find(key);
  std::string wanted = join(words, "or");
  if (node != nullptr && node->kind == Node::Kind::kScalar) {
    if (const auto near = nearest(node->text, words); !near.empty() && near != node->text) {
      wanted += fmt::format(" (did you mean '{}'?)", near);
    }
  }
  return read(key, wanted, [&](std::string_view text) -> std::optional<std::string_view> {
    const auto found = std::ranges::find(words, text);
    return found == words.end() ? std::nullopt : std::optional(*found);
  });
}

bool Section::filter(std::string_view key, std::string& out) {
  std::string expression;
  if (!text(key, expression)) return false;
  const auto compiled = service::Filter::compile(expression);
  if (!compiled) {
    complain(key,
             fmt::format("'{}' in {} is no pcap filter: {}; right would be: tcp and not port 22",
                         key, what_, compiled.error().message));
    return false;
  }
  out = std::move(expression);
  return true;
}

bool Section::reference(std::string_view key, std::string& out, std::string_view things,
                        std::span<const std::string_view> names) {
  std::string name;
  if (!text(key, name)) return false;
  if (std::ranges::find(names, name) == names.end()) {
    complain(key, fmt::format("'{}' in {}: no '{}' among the {}{}", key, what_, name, things,
                              suggestion(name, names)));
    return false;
  }
  out = std::move(name);
  return true;
}

std::vector<std::string_view> names_of(const Node& map) {
  std::vector<std::string_view> names;
  names.reserve(map.entries.size());
  for (const auto& entry : map.entries) names.emplace_back(entry.key);
  return names;
}

}  // namespace vtl::config
