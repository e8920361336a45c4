# Installs the build into an empty prefix, configures a foreign project with find_package(vtl),
# builds it and runs its program. cmake -D BUILD= -D SOURCE= -D WORK= -D COMPILER= -P
set(prefix ${WORK}/prefix)
set(consumer ${WORK}/consumer-build)
file(REMOVE_RECURSE ${prefix} ${consumer})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    string(JOIN " " line ${ARGN})
    message(FATAL_ERROR "${line}: ${status}\n${out}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${consumer} -G Ninja -D CMAKE_PREFIX_PATH=${prefix}
    -D CMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${consumer})
run(${consumer}/consumer)
if(NOT EXISTS ${prefix}/bin/vtl)
  message(FATAL_ERROR "the vtl program was not installed into ${prefix}/bin")
endif()
run(${prefix}/bin/vtl --version)
