// main() of a lab-using test: enters the sandbox first; keeps the folder of a failing test.
//
// Each test gets a folder of its own, build/PRESET/lab-failures/PROGRAM/SUITE.TEST, where labs keep
// what programs wrote and what was captured. It is removed when the test succeeds and printed when
// it fails. What the tests of a program share and make before the first (SetUpTestSuite) is kept in
// PROGRAM/shared when one of them fails. A user who may not write there gets it in the folder for
// temporary files.

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "lab/lab.h"
#include "lab/sandbox.h"

namespace {

std::filesystem::path writable_root() {
  std::filesystem::path root = VTL_LAB_FAILURES;
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (::access(root.c_str(), W_OK) == 0) return root;
  return std::filesystem::temp_directory_path() / fmt::format("vtl-lab-failures-{}", ::getpid());
}

class FolderKeeper : public testing::EmptyTestEventListener {
 public:
  explicit FolderKeeper(const std::string& program) : root_(writable_root() / program) {}

 private:
  void OnTestProgramStart(const testing::UnitTest&) override {
    std::error_code ignored;
    std::filesystem::remove_all(shared(), ignored);
  }

  void OnTestSuiteStart(const testing::TestSuite&) override {
    vtl::lab::set_default_folder(shared());
  }

  void OnTestProgramEnd(const testing::UnitTest& program) override {
    std::error_code ignored;
    if (!program.Passed() && std::filesystem::exists(shared())) {
      fmt::print("kept: {}\n", shared().string());
      return;
    }
    std::filesystem::remove_all(shared(), ignored);
    remove_empty();
  }

  void OnTestStart(const testing::TestInfo& test) override {
    folder_ = root_ / fmt::format("{}.{}", test.test_suite_name(), test.name());
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    vtl::lab::set_default_folder(folder_);
  }

  void OnTestEnd(const testing::TestInfo& test) override {
    std::error_code ignored;
    if (!test.result()->Failed()) {
      std::filesystem::remove_all(folder_, ignored);
      remove_empty();
    } else if (std::filesystem::exists(folder_)) {
      fmt::print("kept: {}\n", folder_.string());
    }
  }

  [[nodiscard]] std::filesystem::path shared() const { return root_ / "shared"; }

  void remove_empty() const {
    std::error_code ignored;
    std::filesystem::remove(root_, ignored);
    std::filesystem::remove(root_.parent_path(), ignored);
  }

  std::filesystem::path root_;
  std::filesystem::path folder_;
};

}  // namespace

int main(int argc, char** argv) {
  vtl::lab::enter_sandbox();
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(
      new FolderKeeper(std::filesystem::path(argv[0]).filename().string()));
  return RUN_ALL_TESTS();
}
