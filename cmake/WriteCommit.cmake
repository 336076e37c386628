# Writes the commit of the tree SOURCE into the C++ file OUT, unless the file has it already.
#
#   cmake -DSOURCE=FOLDER -DOUT=FILE -P WriteCommit.cmake

set(commit "")
if(EXISTS ${SOURCE}/.git)
  execute_process(COMMAND git -C ${SOURCE} describe --always --exclude=* --abbrev=10 --dirty
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[namespace cddp {
extern const char kCommit[];
const char kCommit[] = "@commit@";
}
]] @ONLY)
