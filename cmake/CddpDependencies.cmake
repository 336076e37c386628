# Every external package, found in one place. All of them are Debian 12 packages (scripts/setup installs them);
# LibTorch may also be a vendor build: -DCMAKE_PREFIX_PATH=<torch.utils.cmake_prefix_path>.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(hwy CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)             # crc32c
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)  # the /metrics port
if(CDDP_WITH_TORCH)
  find_package(Torch REQUIRED)
endif()

if(CDDP_BUILD_TESTS STREQUAL "AUTO")
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
