# Debian packages, one for each component that CddpInstall.cmake names: `cpack` in the build folder, or scripts/packages.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cddp)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "Compressed-DDP")
set(CPACK_PACKAGE_CONTACT "Compressed-DDP")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Dependencies are read from the programs, so packages are for the Debian release that they are built on.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# And which package a program needs that links libcddp.
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)

set(CPACK_COMPONENTS_ALL "")
# cddp_package(COMPONENT NAME SUMMARY TARGET [DEPENDS...]): besides what the programs link
function(cddp_package COMPONENT NAME SUMMARY TARGET)
  if(NOT TARGET ${TARGET})
    return()
  endif()
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${NAME} COMPONENT ${COMPONENT}
    RENAME copyright)
  string(TOUPPER ${COMPONENT} component)
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${COMPONENT} PARENT_SCOPE)
  set(CPACK_DEBIAN_${component}_PACKAGE_NAME ${NAME} PARENT_SCOPE)
  set(CPACK_COMPONENT_${component}_DESCRIPTION ${SUMMARY} PARENT_SCOPE)
  list(JOIN ARGN ", " depends)
  set(CPACK_DEBIAN_${component}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
endfunction()
cddp_package(server cddp-server "Parameter server of Compressed-DDP" cddp-server)
# libtorch alone also accepts a BLAS that takes many times as long.
cddp_package(worker cddp-worker "Worker of Compressed-DDP, with LibTorch" cddp-worker libopenblas0-pthread)
cddp_package(tools cddp "Compressed-DDP: train, run, watch and compare" cddp "cddp-server (= ${PROJECT_VERSION})")
cddp_package(library libcddp1 "Compressed-DDP as a library" cddp_capi)
cddp_package(client libcddp-dev "Compressed-DDP as a library: headers for C and C++" cddp_capi "libcddp1 (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "cddp-worker (= ${PROJECT_VERSION})")
include(CPack)
