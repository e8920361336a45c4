# Installation: the program, the headers as <vtl/...>, and a package that find_package(vtl) finds.
# Empty of private libraries on purpose: consumers get them through vtlConfig.cmake.

include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY VTL_ROOMS)
list(TRANSFORM rooms PREPEND vtl_ OUTPUT_VARIABLE targets)
install(TARGETS ${targets} EXPORT vtlTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET vtl_program_vtl)
  install(TARGETS vtl_program_vtl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/vtl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
install(EXPORT vtlTargets NAMESPACE vtl:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vtl)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/vtlConfig.cmake.in
  ${PROJECT_BINARY_DIR}/vtlConfig.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vtl)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vtlConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vtlConfig.cmake ${PROJECT_BINARY_DIR}/vtlConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/VtlDependencies.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vtl)
