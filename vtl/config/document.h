// Document: a YAML file as a tree of our own, every node with its place in the file.
//
// Thread rule: one thread. The tree owns its text. Bounds: kMaxOctets of file, kMaxDepth of
// nesting. YAML features that have no use in a configuration and hide mistakes (aliases, several
// documents, the same key twice) are refused with their place.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vtl/config/diagnostics.h"

namespace vtl::config {

struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMap };

  // Defined where Entry is.
  Node();
  Node(Kind of_kind, Mark at, std::string scalar = {});

  Kind kind = Kind::kNull;
  Mark mark;
  std::string text;         ///< of a scalar
  std::vector<Node> items;  ///< of a sequence
  struct Entry;
  std::vector<Entry> entries;  ///< of a map, in the order of the file

  /// "a list", "a map", "text" or "nothing": for messages.
  [[nodiscard]] std::string_view what() const noexcept;
};

struct Node::Entry {
  std::string key;
  Mark mark;  ///< of the key
  Node value;
};

inline Node::Node() = default;
inline Node::Node(Kind of_kind, Mark at, std::string scalar)
    : kind(of_kind), mark(at), text(std::move(scalar)) {}

inline constexpr std::size_t kMaxOctets = std::size_t{1} << 20;
inline constexpr std::size_t kMaxDepth = 16;

/// Parses `text`. A syntax error is added to `diagnostics`, and the tree is then not complete.
[[nodiscard]] Node parse_document(const std::string& text, Diagnostics& diagnostics);

}  // namespace vtl::config
