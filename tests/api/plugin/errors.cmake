# cmake -DPROTOC= -DPLUGIN= -DOUT= -P errors.cmake
#
# What the plugin refuses, and what it says then.
# refuses(OPTIONS PATTERN TEXT): protoc over TEXT with OPTIONS must fail with a message like PATTERN.
function(refuses options pattern text)
  file(MAKE_DIRECTORY ${OUT})
  file(WRITE ${OUT}/bad.proto "syntax = \"proto3\";\n${text}\n")
  execute_process(
    COMMAND ${PROTOC} -I${OUT} --plugin=protoc-gen-skua=${PLUGIN} --skua_out=${options}:${OUT} bad.proto
    RESULT_VARIABLE result ERROR_VARIABLE said)
  if(result EQUAL 0)
    message(SEND_ERROR "not refused: ${text}")
  elseif(NOT said MATCHES "${pattern}")
    message(SEND_ERROR "refused ${text}\nwith: ${said}wanted: ${pattern}")
  else()
    string(STRIP "${said}" said)
    message(STATUS "${said}")
  endif()
endfunction()

refuses(x=x "a\\.b\\.M: its package has no prefix; pass it as PACKAGE=PREFIX"
  "package a.b; message M {}")
refuses(a=b "a package is needed" "message M {}")
refuses(a=a,nonsense "option nonsense: want NAME=VALUE" "package a; message M {}")
refuses(a=a "a_fo would be the C name of both a\\.FO and a\\.Fo"
  "package a; message FO {} message Fo {}")
refuses(a=a "a_m_n would be the C name of both a\\.M\\.N and a\\.MN|a_m_n"
  "package a; message M { message N {} } message M_n {}")
refuses(a=a "a_m_init would be the C name of both" "package a; message M {} message MInit {}")
refuses(a=a "a_m_has_x would be the C name of both"
  "package a; message M { optional int32 x = 1; } message MHasX {}")
refuses(a=a "a_s_reply_go would be the C name of both a\\.S/Go and a\\.S/ReplyGo"
  "package a; message M {} service S { rpc Go(M) returns (M); rpc ReplyGo(M) returns (M); }")
refuses(a=a,protoc-gen-c=/nowhere/protoc-gen-c "cannot run /nowhere/protoc-gen-c: No such file"
  "package a; message M {}")
refuses(a=a,protoc-gen-c=false "false failed" "package a; message M {}")
refuses(a=a,protoc-gen-c=echo "echo: its answer cannot be read" "package a; message M {}")

# Not from protoc at all: an exit code, and a word on standard error.
execute_process(COMMAND ${CMAKE_COMMAND} -E echo nonsense COMMAND ${PLUGIN}
  RESULT_VARIABLE result ERROR_VARIABLE said OUTPUT_VARIABLE ignored)
if(result EQUAL 0 OR NOT said MATCHES "not a request of protoc")
  message(SEND_ERROR "nonsense on standard input: exit ${result}, ${said}")
endif()
