// Which sanitizer a test runs under: what takes many times as long there does less of the same.
#pragma once

namespace vtl::test {

#ifdef __SANITIZE_THREAD__
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

}  // namespace vtl::test
