// Runs a fuzz target inside the ordinary test run, without libFuzzer and with any compiler.
//
// usage: replay_TARGET CORPUS_DIRECTORY. Every file goes in as it is (seeds, what libFuzzer found
// on top of them, and what once crashed), then every truncation of it, then seeded mutations. Where
// the files are many, each has fewer of both: kMostDerived in all. An empty corpus is a failure.
// Each input is an own allocation of its exact size, so that a sanitizer sees every read beyond it.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "fuzz.h"
#include "vtl/base/rng.h"

namespace {

constexpr std::size_t kMutations = 300;
constexpr std::size_t kMaxTruncations = 2048;
constexpr std::size_t kMany = 60;
constexpr std::size_t kFew = 40;

using Octets = std::vector<std::uint8_t>;

void run(const Octets& input, std::size_t size) {
  const auto exact = std::make_unique<std::uint8_t[]>(size);
  std::copy_n(input.begin(), size, exact.get());
  LLVMFuzzerTestOneInput(exact.get(), size);
}

Octets mutated(Octets input, vtl::Rng& rng) {
  for (std::uint64_t changes = 1 + rng.below(4); changes > 0; --changes) {
    const std::size_t at = rng.below(input.size());
    switch (rng.below(4)) {
      case 0:
        input[at] = static_cast<std::uint8_t>(rng.next());
        break;
      case 1:
        input[at] = static_cast<std::uint8_t>(input[at] ^ 1U << rng.below(8));
        break;
      case 2:
        input[at] = rng.chance(0.5) ? 0x00 : 0xff;
        break;
      default:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), input[at]);
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  if (files.empty()) {
    std::fprintf(stderr, "%s holds no seeds: add some\n", argv[1]);
    return 1;
  }
  std::size_t inputs = 0;
  const std::size_t share = files.size() > kMany ? kFew : kMaxTruncations + kMutations;
  for (std::size_t number = 0; number < files.size(); ++number) {
    std::ifstream file(files[number], std::ios::binary);
    const Octets seed{std::istreambuf_iterator<char>(file), {}};
    run(seed, seed.size());
    const std::size_t mutations = seed.empty() ? 0 : std::min(kMutations, share / 2);
    const std::size_t cuts = std::min({seed.size(), kMaxTruncations, share - mutations});
    for (std::size_t i = 0; i < cuts; ++i) run(seed, seed.size() * i / cuts);
    vtl::Rng rng(number);
    for (std::size_t i = 0; i < mutations; ++i) {
      const Octets input = mutated(seed, rng);
      run(input, input.size());
    }
    inputs += cuts + mutations;
  }
  std::printf("%zu files, %zu derived inputs\n", files.size(), inputs);
  return 0;
}
