# skua_room(NAME dir-sources... DEPENDS targets... PRIVATE_DEPENDS targets...)
#
# One static library per room. `include/` is what other rooms may see, and only
# if they name the room under DEPENDS; everything else in the folder is private.
function(skua_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ROOM_SOURCES})
  target_compile_options(${name} PRIVATE ${SKUA_WARNINGS})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/include)
    target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
  endif()
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ROOM_DEPENDS} PRIVATE ${ROOM_PRIVATE_DEPENDS} Threads::Threads)
endfunction()

# skua_program(NAME SOURCES ... DEPENDS ...): an executable in build/<preset>/bin.
function(skua_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_compile_options(${name} PRIVATE ${SKUA_WARNINGS})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE skua_allocator ${PROGRAM_DEPENDS} Threads::Threads)
endfunction()

# skua_sanitized_test(NAME): the test, and every process that it starts, ends at the first report of
# a sanitizer; tests/support/cluster.py sees to it that a server's end is the test's.
#
# Debian's libgrpc and abseil are not built with ThreadSanitizer: it cannot see their locks,
# only the malloc and memcpy between them. What they hand to us is ordered again where we
# take it (api/rpc/src/op.h), so our own code stays under watch.
function(skua_sanitized_test name)
  if(SKUA_SANITIZE MATCHES thread)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
                 TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1)
  endif()
endfunction()

# skua_suite(NAME SOURCES ... DEPENDS ... [LABELS ...]): a Check suite, one CTest entry.
# NAME mirrors the source path with dots: "libstore.record" tests libstore/record.c.
function(skua_suite name)
  cmake_parse_arguments(SUITE "" "TIMEOUT" "SOURCES;DEPENDS;LABELS;INCLUDES" ${ARGN})
  add_executable(test.${name} ${SUITE_SOURCES})
  target_compile_options(test.${name} PRIVATE ${SKUA_WARNINGS} -Wno-gnu-zero-variadic-macro-arguments)
  target_include_directories(test.${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${SUITE_INCLUDES})
  target_link_libraries(test.${name} PRIVATE ${SUITE_DEPENDS} PkgConfig::CHECK Threads::Threads)
  set_target_properties(test.${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND test.${name})
  if(NOT SUITE_TIMEOUT)
    set(SUITE_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${SUITE_LABELS}" TIMEOUT ${SUITE_TIMEOUT})
  skua_sanitized_test(${name})
endfunction()
