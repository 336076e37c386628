# Compiler settings and helpers of all targets. Included once, by the top CMakeLists.txt.

set(CDDP_BUILD_TESTS AUTO CACHE STRING "Tests and benchmarks: ON, OFF, or AUTO: where GoogleTest and benchmark are there")
option(CDDP_WITH_TORCH "Build the worker, which needs LibTorch; server and tools do without" ON)
option(CDDP_BUILD_SERVER "Build cddp-server" ON)
option(CDDP_BUILD_TOOLS "Build cddp: train, run, status, checkpoint, report, plan" ON)
# A build of the library alone does not need the programs' dependencies: spdlog, Prometheus, JSON, libmicrohttpd.
if(CDDP_WITH_TORCH OR CDDP_BUILD_SERVER OR CDDP_BUILD_TOOLS)
  set(CDDP_PROGRAMS ON)
else()
  set(CDDP_PROGRAMS OFF)
endif()
set(CDDP_SANITIZER "" CACHE STRING "Sanitizers for the whole build: '', 'address' (with undefined) or 'thread'")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CDDP_CCACHE ccache)
if(CDDP_CCACHE)
  # Paths below the source folder are hashed relative to it, so that a second checkout finds what the first compiled.
  # Flags that turn warnings into errors change no object.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    "CCACHE_IGNOREOPTIONS=-Werror -Wno-maybe-uninitialized" ${CDDP_CCACHE})
endif()

# Only for CI's compiler: other compilers' warnings must not stop a user. Not with sanitizers, either: gcc warns of the
# code that they insert.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13 AND NOT CDDP_SANITIZER)
  set(werror_default ON)
else()
  set(werror_default OFF)
endif()
option(CDDP_WERROR "Warnings are errors" ${werror_default})
if(CDDP_WERROR)
  add_compile_options(-Werror -Wno-maybe-uninitialized)  # gcc 12 warns of std::optional's moves
endif()

# Sums must not depend on the compiler: no implicit contraction of a*b+c (FMA is used only where it is
# written), and no -ffast-math anywhere.
add_compile_options(-Wall -Wextra -Wno-unused-parameter -ffp-contract=off -fno-math-errno)

if(CDDP_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(CDDP_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
  add_link_options(-fsanitize=thread)
elseif(CDDP_SANITIZER)
  message(FATAL_ERROR "CDDP_SANITIZER=${CDDP_SANITIZER}: use 'address' or 'thread'")
endif()

# Most of a compiler's time goes into headers that a folder's files share (LibTorch's take 10 s a file): four files
# compiled as one share them. Not with sanitizers, so that CI also compiles each file by itself.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CDDP_SANITIZER)
  set(unity_default ON)
else()
  set(unity_default OFF)
endif()
option(CDDP_UNITY_BUILD "Compile a library's files four at a time: half the time for all, more for a changed file" ${unity_default})

# cddp_library(NAME [SEPARATE] SRCS... DEPS...): the one library target of a folder, with the alias cddp::NAME. Without
# sources it is a header-only library. SEPARATE: its files are never compiled as one; for Highway's, which include themselves.
function(cddp_library NAME)
  cmake_parse_arguments(ARG "SEPARATE" "" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(cddp_${NAME} STATIC ${ARG_SRCS})
    if(CDDP_UNITY_BUILD AND NOT ARG_SEPARATE)
      set_target_properties(cddp_${NAME} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 4)
    endif()
    set(scope PUBLIC)
  else()
    add_library(cddp_${NAME} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(cddp::${NAME} ALIAS cddp_${NAME})
  target_include_directories(cddp_${NAME} ${scope} ${PROJECT_SOURCE_DIR})
  target_link_libraries(cddp_${NAME} ${scope} ${ARG_DEPS})
endfunction()

# cddp_test(NAME LABEL SRCS... DEPS...): a GoogleTest program registered with ctest under LABEL. The target LABEL_tests
# builds all that have it.
function(cddp_test NAME LABEL)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} cddp_test_support GTest::gmock GTest::gtest_main)
  if(NOT TARGET ${LABEL}_tests)
    add_custom_target(${LABEL}_tests)
  endif()
  add_dependencies(${LABEL}_tests ${NAME})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${LABEL} TIMEOUT ${ARG_TIMEOUT}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()
