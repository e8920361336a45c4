# Packaged libraries. Those that bring no CMake package get an imported target here.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(libpcap REQUIRED IMPORTED_TARGET libpcap)

# vtl_imported(NAME LIBRARY file HEADER file): a library known by its file and one of its headers.
function(vtl_imported name)
  cmake_parse_arguments(arg "" "LIBRARY;HEADER" "" ${ARGN})
  find_library(${name}_LIBRARY ${arg_LIBRARY} REQUIRED)
  find_path(${name}_INCLUDE ${arg_HEADER} REQUIRED)
  add_library(${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(${name} INTERFACE ${${name}_LIBRARY})
  target_include_directories(${name} SYSTEM INTERFACE ${${name}_INCLUDE})
endfunction()

vtl_imported(vtl_libudt LIBRARY udt HEADER udt/udt.h)
vtl_imported(vtl_libnet LIBRARY net HEADER libnet.h)
vtl_imported(vtl_httplib LIBRARY cpp-httplib HEADER httplib.h)

if(VTL_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
endif()
if(VTL_BENCH)
  find_package(benchmark REQUIRED)
endif()
