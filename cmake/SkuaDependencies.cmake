# What the rooms stand on; docs/dependencies.md says why each was chosen.
find_package(PkgConfig REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c>=1.4)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl libcrypto)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SMARTCOLS REQUIRED IMPORTED_TARGET smartcols)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)

# gRPC's own pkg-config file lists sixty static abseil libraries; the C core alone is enough.
find_library(GRPC_LIBRARY grpc REQUIRED)
find_library(GPR_LIBRARY gpr REQUIRED)
find_path(GRPC_INCLUDE_DIR grpc/grpc.h REQUIRED)
add_library(skua_grpc INTERFACE)
target_include_directories(skua_grpc SYSTEM INTERFACE ${GRPC_INCLUDE_DIR})
target_link_libraries(skua_grpc INTERFACE ${GRPC_LIBRARY} ${GPR_LIBRARY})

if(SKUA_TESTS)
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
endif()
