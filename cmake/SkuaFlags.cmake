# Compiler and linker flags, the same for every room.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_definitions(_GNU_SOURCE)
# Paths in __FILE__ are relative to the checkout: builds are reproducible and leak nothing.
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -fno-strict-aliasing)
find_package(Threads REQUIRED)

# Warnings for hand-written code; generated code is compiled without them.
set(SKUA_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings
  -Wimplicit-fallthrough -Wno-gnu-zero-variadic-macro-arguments)
if(CMAKE_C_COMPILER_ID MATCHES Clang)
  # uthash's macros mark their fall-throughs with comments, which only gcc reads: it checks ours.
  list(APPEND SKUA_WARNINGS -Wthread-safety -Wno-gnu-statement-expression
       -Wno-language-extension-token -Wno-missing-field-initializers -Wno-implicit-fallthrough)
else()
  list(APPEND SKUA_WARNINGS -Wno-missing-field-initializers)
endif()
if(SKUA_WERROR)
  list(APPEND SKUA_WARNINGS -Werror)
endif()

add_link_options(-Wl,--as-needed)

if(SKUA_RELEASE)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT ipo OUTPUT reason)
  if(ipo)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  endif()
  add_compile_options(
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection
    -fcf-protection=full -fno-delete-null-pointer-checks -fno-strict-overflow)
  if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    add_compile_options(-ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr)
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
      # Statuses and verdicts hold their text, 256 bytes that are cleared for each: with "rep stos", gcc's choice
      # for that size, the instruction's start takes longer than the stores.
      add_compile_options(-mmemset-strategy=vector_loop:768:noalign,libcall:-1:noalign)
    endif()
  endif()
  set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -pie")
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--gc-sections)
endif()

if(SKUA_SANITIZE)
  add_compile_options(-fsanitize=${SKUA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SKUA_SANITIZE})
  add_compile_definitions(SK_DEBUG=1)
elseif(CMAKE_BUILD_TYPE STREQUAL Debug)
  add_compile_definitions(SK_DEBUG=1)
endif()

# Every room reports its coverage to the fuzzer; the targets themselves link it (tests/fuzz).
if(SKUA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

if(SKUA_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

# Compiling again what has not changed costs seconds, not minutes, where ccache is at hand.
find_program(SKUA_CCACHE ccache)
if(SKUA_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${SKUA_CCACHE})
endif()
