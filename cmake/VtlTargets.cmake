# How VTL's targets are made: flags once, one library per room, one executable per test folder.

include(CheckCXXCompilerFlag)

add_library(vtl_flags INTERFACE)
target_compile_options(vtl_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wconversion
  -Wno-sign-conversion -Wimplicit-fallthrough -Werror -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports false positives of these two inside libstdc++'s own headers at -O2 and above.
  target_compile_options(vtl_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread
                         -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # What libstdc++ 12's own std::stable_sort calls is deprecated since C++17.
  target_compile_options(vtl_flags INTERFACE -Wno-deprecated-declarations)
endif()
if(VTL_SANITIZE)
  target_compile_options(vtl_flags INTERFACE -fsanitize=${VTL_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(vtl_flags INTERFACE -fsanitize=${VTL_SANITIZE})
endif()
if(VTL_FUZZ)
  target_compile_options(vtl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_program(VTL_MOLD mold)
if(VTL_MOLD)
  target_link_options(vtl_flags INTERFACE -fuse-ld=mold)
endif()

# vtl_library(ROOM LINK public... PRIVATE_LINK private...): the library vtl::ROOM from vtl/ROOM.
function(vtl_library room)
  cmake_parse_arguments(arg "" "" "LINK;PRIVATE_LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/vtl/${room}/*.cc)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/vtl/${room}/*.h)
  if(sources)
    add_library(vtl_${room} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(vtl_${room} PRIVATE $<BUILD_INTERFACE:vtl_flags> ${arg_PRIVATE_LINK})
  else()
    add_library(vtl_${room} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(vtl::${room} ALIAS vtl_${room})
  set_target_properties(vtl_${room} PROPERTIES EXPORT_NAME ${room})
  target_compile_features(vtl_${room} ${scope} cxx_std_23)
  target_include_directories(vtl_${room} ${scope}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(vtl_${room} ${scope} ${arg_LINK})
  set_property(GLOBAL APPEND PROPERTY VTL_ROOMS ${room})
endfunction()

# vtl_program(NAME ROOM folder LINK libs...): the executable NAME from vtl/ROOM.
function(vtl_program name)
  cmake_parse_arguments(arg "" "ROOM" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/vtl/${arg_ROOM}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(vtl_program_${name} ${sources})
  set_target_properties(vtl_program_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  target_link_libraries(vtl_program_${name} PRIVATE vtl_flags ${arg_LINK})
  target_compile_definitions(vtl_program_${name} PRIVATE VTL_VERSION="${PROJECT_VERSION}")
endfunction()

# vtl_executable(NAME SOURCES... LINK libs...): a program of the tree that is not installed.
function(vtl_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  target_link_libraries(${name} PRIVATE vtl_flags ${arg_LINK})
endfunction()

# vtl_test(NAME LABEL label TIMEOUT seconds SOURCES... LINK libs... NEEDS targets...): one googletest
# program, one ctest entry. Labels choose suites: unit, script, property, sim, fuzz, netns, interop,
# install. NEEDS names programs that the test runs, e.g. vtl_program_vtl (build folder's bin/vtl).
# SERIAL: nothing else runs beside it. In the code VTL_SANITIZED is 1 in a sanitised build, where a
# long test may take less of the same.
function(vtl_test name)
  cmake_parse_arguments(arg "SERIAL" "LABEL;TIMEOUT" "SOURCES;LINK;NEEDS" ${ARGN})
  set(sanitized 0)
  if(VTL_SANITIZE)
    set(sanitized 1)
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE vtl_flags GTest::gtest GTest::gmock ${arg_LINK})
  # mold 1.10 begins RELRO on a page that is not mapped when the text ends 2 octets before one: such a
  # program cannot be loaded. Tests do without.
  target_link_options(${name} PRIVATE -Wl,-z,norelro)
  target_compile_definitions(${name} PRIVATE
    VTL_SOURCE_DIR="${PROJECT_SOURCE_DIR}" VTL_BINARY_DIR="${PROJECT_BINARY_DIR}"
    VTL_SANITIZED=${sanitized})
  if(arg_NEEDS)
    add_dependencies(${name} ${arg_NEEDS})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT})
  if(arg_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()

# vtl_fuzz(NAME SOURCES... LINK libs...): the fuzz target NAME; its sources define
# LLVMFuzzerTestOneInput. Under VTL_FUZZ it is a libFuzzer program fuzz/NAME, part of fuzz_all. Under
# VTL_TESTS it is a test too, which replays tests/fuzz/corpus/NAME (seeds and past findings), every
# truncation of each file, and a fixed number of seeded mutations.
function(vtl_fuzz name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  if(VTL_FUZZ)
    if(NOT TARGET fuzz_all)
      add_custom_target(fuzz_all)
    endif()
    add_executable(fuzz_${name} ${arg_SOURCES})
    set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name}
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz)
    target_link_libraries(fuzz_${name} PRIVATE vtl_flags ${arg_LINK})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz_all fuzz_${name})
  endif()
  if(VTL_TESTS)
    add_executable(replay_${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    set_target_properties(replay_${name} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_include_directories(replay_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz)
    target_link_libraries(replay_${name} PRIVATE vtl_flags vtl::base ${arg_LINK})
    add_test(NAME fuzz_${name}
      COMMAND replay_${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
endfunction()
