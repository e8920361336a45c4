# BPF programs: compiled by clang, carried in the library as the initialiser of an array.

find_program(VTL_BPF_CLANG NAMES clang-19 clang REQUIRED)

# vtl_bpf(TARGET NAME): vtl/.../bpf/NAME.bpf.c of the target's sources becomes NAME.bpf.inc, found by
# #include "NAME.bpf.inc".
function(vtl_bpf target source)
  get_filename_component(name ${source} NAME_WE)
  set(made ${PROJECT_BINARY_DIR}/bpf)
  file(MAKE_DIRECTORY ${made})
  add_custom_command(OUTPUT ${made}/${name}.bpf.inc
    COMMAND ${VTL_BPF_CLANG} -O2 -g -Wall -Werror -target bpf
      -ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -fdebug-compilation-dir=.
      -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -MD -MF ${name}.bpf.d -MT bpf/${name}.bpf.inc
      -c ${PROJECT_SOURCE_DIR}/${source} -o ${name}.bpf.o
    COMMAND ${CMAKE_COMMAND} -DIN=${made}/${name}.bpf.o -DOUT=${made}/${name}.bpf.inc
      -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${PROJECT_SOURCE_DIR}/${source} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPFILE ${made}/${name}.bpf.d WORKING_DIRECTORY ${made} VERBATIM
    COMMENT "Building BPF program ${name}")
  target_sources(${target} PRIVATE ${made}/${name}.bpf.inc)
  target_include_directories(${target} PRIVATE ${made})
endfunction()
