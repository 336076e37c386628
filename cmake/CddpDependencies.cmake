# Every external package, found in one place. All of them are Debian 12 packages (scripts/setup installs them);
# LibTorch may also be a vendor build: -DCMAKE_PREFIX_PATH=<torch.utils.cmake_prefix_path>.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(hwy CONFIG REQUIRED)
if(CDDP_PROGRAMS)
  find_package(prometheus-cpp CONFIG REQUIRED)
  find_package(spdlog CONFIG REQUIRED)
  find_package(nlohmann_json CONFIG REQUIRED)
  find_package(ZLIB REQUIRED)  # compressed .npz files
endif()

# cddp_find_library(TARGET LIBRARY HEADER): a package without CMake files.
function(cddp_find_library TARGET LIBRARY HEADER)
  find_library(CDDP_LIBRARY_${LIBRARY} ${LIBRARY} REQUIRED)
  find_path(CDDP_INCLUDE_${LIBRARY} ${HEADER} REQUIRED)
  add_library(${TARGET} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${TARGET} PROPERTIES
    IMPORTED_LOCATION ${CDDP_LIBRARY_${LIBRARY}} INTERFACE_INCLUDE_DIRECTORIES ${CDDP_INCLUDE_${LIBRARY}})
endfunction()
cddp_find_library(isal::isal isal isa-l/crc.h)  # crc32c
if(CDDP_PROGRAMS)
  cddp_find_library(microhttpd::microhttpd microhttpd microhttpd.h)  # the /metrics port
endif()

if(CDDP_WITH_TORCH)
  find_package(Torch REQUIRED)
endif()

if(CDDP_BUILD_TESTS AND NOT (CDDP_BUILD_SERVER AND CDDP_BUILD_TOOLS))
  if(NOT CDDP_BUILD_TESTS STREQUAL "AUTO")
    message(FATAL_ERROR "CDDP_BUILD_TESTS needs CDDP_BUILD_SERVER and CDDP_BUILD_TOOLS: tests run them")
  endif()
  set(CDDP_BUILD_TESTS OFF)
elseif(CDDP_BUILD_TESTS STREQUAL "AUTO")
  find_package(GTest QUIET)
  find_package(benchmark QUIET)
  set(CDDP_BUILD_TESTS ${GTest_FOUND})
  if(NOT benchmark_FOUND)
    set(CDDP_BUILD_TESTS OFF)
  endif()
elseif(CDDP_BUILD_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
endif()
if(CDDP_BUILD_TESTS)
  include(GoogleTest)
endif()
