# The LibTorch of a Python package: -DTorch_DIR=<source>/cmake/python_torch, and CDDP_PYTHON_TORCH names the package's
# folder (python3 -c 'import torch; print(torch.__path__[0])'). The package's own CMake files also work, but need all of
# CUDA's development files, of which we need only the runtime's.

set(CDDP_PYTHON_TORCH "" CACHE PATH "Folder of Python's package torch")
add_library(torch INTERFACE IMPORTED)
set_target_properties(torch PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
  "${CDDP_PYTHON_TORCH}/include;${CDDP_PYTHON_TORCH}/include/torch/csrc/api/include")
# libtorch_cuda registers itself when it is loaded; nothing in it is called by name.
set(libraries -Wl,--no-as-needed)
foreach(name torch torch_cpu torch_cuda c10 c10_cuda)
  find_library(CDDP_LIBRARY_${name} ${name} PATHS ${CDDP_PYTHON_TORCH}/lib NO_DEFAULT_PATH)
  if(CDDP_LIBRARY_${name})
    list(APPEND libraries ${CDDP_LIBRARY_${name}})
  endif()
endforeach()
list(APPEND libraries -Wl,--as-needed)
set_target_properties(torch PROPERTIES INTERFACE_LINK_LIBRARIES "${libraries}")
set(TORCH_LIBRARIES torch)
if(NOT CDDP_LIBRARY_torch)
  set(Torch_FOUND FALSE)
  set(Torch_NOT_FOUND_MESSAGE "CDDP_PYTHON_TORCH=${CDDP_PYTHON_TORCH} holds no lib/libtorch.so")
endif()
