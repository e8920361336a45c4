#include "vtl/config/document.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vtl::config {
namespace {

std::string mistakes(const std::string& text) {
  Diagnostics diagnostics("f.yaml");
  (void)parse_document(text, diagnostics);
  return diagnostics.to_string();
}

TEST(Document, EveryNodeKnowsItsPlace) {
  Diagnostics diagnostics("f.yaml");
  const auto root = parse_document("a:\n  b: [x, 2]\n  c: {d: e}\n", diagnostics);
  ASSERT_TRUE(diagnostics.empty()) << diagnostics.to_string();
  ASSERT_EQ(root.kind, Node::Kind::kMap);
  const auto& a = root.entries.at(0);
  EXPECT_EQ(a.key, "a");
  EXPECT_EQ(a.mark, (Mark{1, 1}));
  const auto& list = a.value.entries.at(0).value;
  EXPECT_EQ(list.kind, Node::Kind::kSequence);
  EXPECT_EQ(list.items.at(1).text, "2");
  EXPECT_EQ(list.items.at(1).mark, (Mark{2, 10}));
  EXPECT_EQ(a.value.entries.at(1).value.entries.at(0).mark, (Mark{3, 7}));
}

TEST(Document, WhatYamlAllowsButHidesMistakesIsRefused) {
  EXPECT_EQ(mistakes("a: 1\nb: 2\na: 3\n"),
            "f.yaml:3:1: 'a' is given twice; the first is on line 1: keep one");
  EXPECT_EQ(mistakes("a: &x 1\n"), "f.yaml:1:4: anchors (&name) are not supported");
  EXPECT_EQ(mistakes("a: 1\n---\nb: 2\n"),
            "f.yaml:3:1: a second document (---); one file is one document");
  EXPECT_EQ(mistakes("{[1]: 2}\n"), "f.yaml:1:2: a key must be a word, not a list");
  EXPECT_EQ(mistakes("{[1]: 2, [3]: 4}\n"),
            "f.yaml:1:2: a key must be a word, not a list\n"
            "f.yaml:1:10: a key must be a word, not a list");
}

// As many keys as a file can hold: each is looked up among those before it.
TEST(Document, AFileFullOfKeysIsReadInLinearTime) {
  std::string text;
  for (int i = 0; text.size() < kMaxOctets - 20; ++i) text += fmt::format("k{}: 1\n", i);
  EXPECT_EQ(mistakes(text), "");
  EXPECT_THAT(mistakes(text + "k7: 1\n"),
              testing::EndsWith("'k7' is given twice; the first is on line 8: keep one"));
}

TEST(Document, SyntaxErrorsHaveTheirPlace) {
  EXPECT_EQ(mistakes("a: [1, 2\n"), "f.yaml:2:1: not YAML: end of sequence flow not found");
  EXPECT_EQ(mistakes("a: b: c\n"), "f.yaml:1:5: not YAML: illegal map value");
  EXPECT_EQ(mistakes("\ta: b\n").substr(0, 22), "f.yaml:1:3: not YAML: ");
}

TEST(Document, DepthAndSizeAreBounded) {
  EXPECT_EQ(mistakes(std::string(kMaxDepth, '[') + std::string(kMaxDepth, ']')), "");
  EXPECT_EQ(mistakes(std::string(kMaxDepth + 1, '[') + std::string(kMaxDepth + 1, ']')),
            "f.yaml:1:17: not YAML: nested deeper than 16 levels");
  EXPECT_EQ(mistakes(std::string(kMaxOctets + 1, ' ')),
            "f.yaml:1:1: the file has 1048577 octets, at most 1048576 are read");
}

RC_GTEST_PROP(Document, NoTextIsMoreThanAMistake, (const std::string& text)) {
  (void)mistakes(text);
}

TEST(Diagnostics, SuggestTheNearestOrListAll) {
  const std::vector<std::string_view> keys = {"device", "type", "mtu"};
  EXPECT_EQ(suggestion("devcie", keys), "; did you mean 'device'?");
  EXPECT_EQ(suggestion("Type", keys), "; did you mean 'type'?");
  EXPECT_EQ(suggestion("colour", keys), "; there are device, type and mtu");
  EXPECT_EQ(suggestion("x", {}), "; there are none");
}

TEST(Diagnostics, AreInTheOrderOfTheFileAndBounded) {
  Diagnostics diagnostics("f.yaml");
  diagnostics.add({2, 1}, "second");
  diagnostics.add({1, 5}, "first");
  EXPECT_EQ(diagnostics.to_string(), "f.yaml:1:5: first\nf.yaml:2:1: second");
  for (std::size_t i = 0; i < Diagnostics::kMost; ++i) diagnostics.add({3, 1}, "more");
  EXPECT_EQ(diagnostics.lines().size(), Diagnostics::kMost + 1);
  EXPECT_EQ(diagnostics.lines().back(), "f.yaml: and 2 more");
}

}  // namespace
}  // namespace vtl::config
