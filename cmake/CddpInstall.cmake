# The components of `cmake --install`: library (libcddp.so.1), client (for building programs with it: headers, files for CMake
# and pkg-config), server, tools, worker. `cmake --install build/release --component server` installs one.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The library's version is its ABI's, which the header defines.
file(STRINGS ${PROJECT_SOURCE_DIR}/include/cddp/cddp.h lines REGEX "#define CDDP_VERSION_M(AJ|IN)OR")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*" "\\1.\\2" CDDP_API_VERSION "${lines}")

install(TARGETS cddp_capi EXPORT CompressedDDPTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT client
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/cddp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT client)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/CompressedDDP)
install(EXPORT CompressedDDPTargets NAMESPACE CompressedDDP:: DESTINATION ${package_dir} COMPONENT client
  FILE CompressedDDPConfig.cmake)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/CompressedDDPConfigVersion.cmake
  VERSION ${CDDP_API_VERSION} COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/CompressedDDPConfigVersion.cmake DESTINATION ${package_dir} COMPONENT client)
file(RELATIVE_PATH CDDP_INCLUDE_FROM_LIB ${CMAKE_INSTALL_FULL_LIBDIR} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/cddp.pc.in ${PROJECT_BINARY_DIR}/cddp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cddp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT client)

foreach(program cddp-server:server cddp:tools cddp-worker:worker)
  string(REPLACE ":" ";" program ${program})
  list(GET program 0 target)
  list(GET program 1 component)
  if(TARGET ${target})
    install(TARGETS ${target} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
  endif()
endforeach()

# Manual pages and bash's completion, made from the programs' --help.
set(docs ${PROJECT_BINARY_DIR}/docs)
set(documented "")
foreach(program cddp cddp-server cddp-worker)
  if(TARGET ${program})
    list(APPEND documented ${program})
  endif()
endforeach()
if(documented)
  add_custom_command(OUTPUT ${docs}/made
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/make_man ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${docs} ${PROJECT_VERSION}
    COMMAND ${CMAKE_COMMAND} -E touch ${docs}/made
    DEPENDS ${PROJECT_SOURCE_DIR}/scripts/make_man ${documented}
    COMMENT "Making manual pages")
  add_custom_target(cddp_docs ALL DEPENDS ${docs}/made)
  set(cddp_pages cddp cddp-train cddp-run cddp-status cddp-checkpoint cddp-report cddp-plan)
  set(cddp_component tools)
  foreach(program server worker)
    set(cddp-${program}_pages cddp-${program})
    set(cddp-${program}_component ${program})
  endforeach()
  foreach(program ${documented})
    foreach(page ${${program}_pages})
      install(FILES ${docs}/man1/${page}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT ${${program}_component} OPTIONAL)
    endforeach()
    install(FILES ${docs}/bash-completion/${program} COMPONENT ${${program}_component} OPTIONAL
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  endforeach()
endif()
