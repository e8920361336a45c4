#include "vtl/config/document.h"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

namespace vtl::config {
namespace {

Mark convert(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// Builds the tree from the parser's events. `open_` holds the collections that are not closed yet;
// they move into their parent when they close.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    place(Node(Node::Kind::kNull, convert(mark)));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    diagnostics_.add(convert(mark), "aliases (*name) are not supported; write the value again");
    place(Node(Node::Kind::kNull, convert(mark)));
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    place(Node(Node::Kind::kScalar, convert(mark), value));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    open(Node(Node::Kind::kSequence, convert(mark)));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_anchor(mark, anchor);
    open(Node(Node::Kind::kMap, convert(mark)));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    bool has_key = false;   // of a map: the key is read, its value comes next
    bool key_good = false;  // and is a word
    std::string key{};
    Mark key_mark{};
    absl::flat_hash_map<std::string, int> lines{};  // of the keys so far
  };

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) diagnostics_.add(convert(mark), "anchors (&name) are not supported");
  }

  void open(Node node) {
    if (open_.size() >= kMaxDepth) {
      YAML::Mark mark;
      mark.line = node.mark.line - 1;
      mark.column = node.mark.column - 1;
      throw YAML::ParserException(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    open_.push_back({.node = std::move(node)});
  }

  void close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    place(std::move(node));
  }

  void place(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Node::Kind::kSequence) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      parent.key_good = node.kind == Node::Kind::kScalar;
      if (!parent.key_good) {
        diagnostics_.add(node.mark, fmt::format("a key must be a word, not {}", node.what()));
      }
      parent.has_key = true;
      parent.key = std::move(node.text);
      parent.key_mark = node.mark;
    } else {
      parent.has_key = false;
      if (parent.key_good) add_entry(parent, std::move(node));
    }
  }

  void add_entry(Open& map, Node value) {
    const auto [first, fresh] = map.lines.emplace(map.key, map.key_mark.line);
    if (!fresh) {
      diagnostics_.add(map.key_mark,
                       fmt::format("'{}' is given twice; the first is on line {}: keep one",
                                   map.key, first->second));
      return;
    }
    map.node.entries.push_back({std::move(map.key), map.key_mark, std::move(value)});
  }

  Diagnostics& diagnostics_;
  std::vector<Open> open_;
  Node root_;
};

}  // namespace

std::string_view Node::what() const noexcept {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return "text";
    case Kind::kSequence:
      return "a list";
    case Kind::kMap:
      return "a map";
  }
  return "nothing";
}

Node parse_document(const std::string& text, Diagnostics& diagnostics) {
  if (text.size() > kMaxOctets) {
    diagnostics.add(
        {}, fmt::format("the file has {} octets, at most {} are read", text.size(), kMaxOctets));
    return {};
  }
  std::istringstream stream(text);
  Builder builder(diagnostics);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    Builder second(diagnostics);
    if (parser.HandleNextDocument(second)) {
      diagnostics.add(second.take().mark, "a second document (---); one file is one document");
    }
  } catch (const YAML::Exception& error) {
    // The parser gives no mark for a few errors; those are at the start of the file.
    const auto mark = error.mark.is_null() ? Mark{} : convert(error.mark);
    diagnostics.add(mark, fmt::format("not YAML: {}", error.msg));
  }
  return builder.take();
}

}  // namespace vtl::config
