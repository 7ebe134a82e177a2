# What the rooms stand on; docs/dependencies.md says why each was chosen.
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl libcrypto)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SMARTCOLS REQUIRED IMPORTED_TARGET smartcols)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)

# gRPC's own pkg-config file lists sixty abseil libraries; of the shared ones the C core alone is enough.
# A release has the archives in it: a start has a sixth of the symbols to look up, and calls inside of the
# core, thousands a message, go straight (docs/benchmarks.md). OpenSSL stays shared: it gets updates.
option(SKUA_STATIC_GRPC "Link the gRPC C core and abseil into the programs" ${SKUA_RELEASE})
find_library(GRPC_LIBRARY grpc REQUIRED)
find_library(GPR_LIBRARY gpr REQUIRED)
find_path(GRPC_INCLUDE_DIR grpc/grpc.h REQUIRED)
add_library(skua_grpc INTERFACE)
target_include_directories(skua_grpc SYSTEM INTERFACE ${GRPC_INCLUDE_DIR})
if(SKUA_STATIC_GRPC)
  pkg_check_modules(GRPC REQUIRED grpc)
  set(grpc_archives "")
  foreach(name ${GRPC_STATIC_LIBRARIES})
    if(name MATCHES "^(grpc|gpr|address_sorting|re2|upb|cares|absl_.*)$")
      find_library(SKUA_ARCHIVE_${name} lib${name}.a REQUIRED)
      mark_as_advanced(SKUA_ARCHIVE_${name})
      list(APPEND grpc_archives ${SKUA_ARCHIVE_${name}})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES grpc_archives)
  list(JOIN grpc_archives "," grpc_archives)
  set(grpc_archives "-Wl,--start-group,${grpc_archives},--end-group" z stdc++ m)
  # Debian's archives are for programs: libskua.so goes on with the shared ones.
  set(is_program $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
  target_link_libraries(skua_grpc INTERFACE PkgConfig::OPENSSL
    "$<${is_program}:${grpc_archives}>"
    "$<$<NOT:${is_program}>:${GRPC_LIBRARY};${GPR_LIBRARY}>")
else()
  target_link_libraries(skua_grpc INTERFACE ${GRPC_LIBRARY} ${GPR_LIBRARY})
endif()

# Takes malloc's place in the programs. Sanitizers bring an allocator of their own, and libskua.so leaves
# the choice to the application. (Before link-time optimisation nothing seems to need it.)
option(SKUA_MIMALLOC "Link mimalloc into the programs" ${SKUA_RELEASE})
add_library(skua_allocator INTERFACE)
if(SKUA_MIMALLOC AND NOT SKUA_SANITIZE)
  find_library(MIMALLOC_LIBRARY mimalloc REQUIRED)
  target_link_libraries(skua_allocator INTERFACE -Wl,--no-as-needed ${MIMALLOC_LIBRARY} -Wl,--as-needed)
endif()

if(SKUA_TESTS)
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
endif()
