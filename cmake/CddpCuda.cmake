# CUDA for worker/cuda: used if nvcc and its static runtime are found; the build also works without them. Our own command
# compiles the .cu files, which hold kernels and no absl; code that only calls CUDA is in .cc files. CMake 3.25's CUDA language does not know CUDA 13's C++20.

find_program(CDDP_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(CDDP_NVCC)
  get_filename_component(cuda_bin ${CDDP_NVCC} DIRECTORY)
  find_library(CDDP_CUDART cudart_static HINTS ${cuda_bin}/../lib64 ${cuda_bin}/../targets/x86_64-linux/lib)
  find_path(CDDP_CUDA_INCLUDE cuda_runtime_api.h HINTS ${cuda_bin}/../include ${cuda_bin}/../targets/x86_64-linux/include)
endif()
if(CDDP_NVCC AND CDDP_CUDART AND CDDP_CUDA_INCLUDE AND NOT CDDP_SANITIZER)
  set(cuda_default ON)
else()
  set(cuda_default OFF)
endif()
option(CDDP_CUDA "Compress on NVIDIA GPUs; needs nvcc" ${cuda_default})
set(CDDP_CUDA_ARCHITECTURES 75 80 86 89 90 100 120 CACHE STRING "GPUs to compile for; the last as PTX too")

# cddp_cuda_sources(TARGET FILES...): compiles .cu files into a target of the same folder.
function(cddp_cuda_sources TARGET)
  # No contraction to FMA: the device must round as the CPU does.
  set(flags -std=c++20 -O3 --fmad=false -Xcompiler=-fPIC,-Wall --threads=2 -I${PROJECT_SOURCE_DIR})
  foreach(architecture ${CDDP_CUDA_ARCHITECTURES})
    list(APPEND flags -gencode=arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  list(GET CDDP_CUDA_ARCHITECTURES -1 last)
  list(APPEND flags -gencode=arch=compute_${last},code=compute_${last})
  foreach(file ${ARGN})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${file}.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND ${CDDP_NVCC} ${flags} -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${file} -o ${object}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file}
      DEPFILE ${object}.d
      COMMENT "Compiling ${file} for GPUs"
      VERBATIM)
    target_sources(${TARGET} PRIVATE ${object})
  endforeach()
  target_link_libraries(${TARGET} PRIVATE ${CDDP_CUDART} Threads::Threads ${CMAKE_DL_LIBS} rt)
endfunction()
