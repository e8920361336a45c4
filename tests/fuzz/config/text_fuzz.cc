// A configuration of any text, all the way: refused with mistakes that each have their place, or
// checked and fit to be built.
#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "fuzz.h"
#include "vtl/config/build.h"
#include "vtl/config/config.h"

using namespace vtl;

namespace {

// Takes a number from 1 up and the colon behind it off the front of `text`.
bool take_number(std::string_view& text, std::size_t most) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number == 0 || number > most) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.starts_with(':')) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const auto config = config::parse_config(text, "/nonexistent/fuzz.yaml");
  if (config) {
    FUZZ_CHECK(!config->links.empty());
    FUZZ_CHECK(config::build(*config).has_value());
    return 0;
  }
  FUZZ_CHECK(!config.error().empty());
  const std::size_t lines = 1 + static_cast<std::size_t>(std::ranges::count_if(
                                    text, [](char c) { return c == '\n' || c == '\r'; }));
  for (const std::string& mistake : config.error()) {
    constexpr std::string_view kFile = "/nonexistent/fuzz.yaml:";
    std::string_view rest = mistake;
    FUZZ_CHECK(rest.starts_with(kFile));
    rest.remove_prefix(kFile.size());
    if (rest.ends_with(" more")) continue;          // than are told: the last line says how many
    FUZZ_CHECK(take_number(rest, lines + 1));       // the end of the file may be a line of its own
    FUZZ_CHECK(take_number(rest, 4 * (size + 1)));  // an octet that is no UTF-8 stands for several
    FUZZ_CHECK(rest.size() > 10 && rest.starts_with(' '));
  }
  return 0;
}
