# cmake -DPROTOC= -DPLUGIN= -DPROTO_INCLUDE= -DHERE= -DOUT= -P golden.cmake
#
# What the plugin makes of protos/awkward must equal golden/, to the letter. After a change that
# you meant: SKUA_UPDATE_GOLDEN=1, run again, read the diff.
set(golden names.alias.h service.alias.h service.rpc.h service.rpc.c)

file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT})
execute_process(
  COMMAND ${PROTOC} -I${HERE}/protos -I${PROTO_INCLUDE} --plugin=protoc-gen-skua=${PLUGIN}
          --skua_out=awkward.v1Beta=awk,google.protobuf=pb:${OUT}
          awkward/names.proto awkward/service.proto
  COMMAND_ERROR_IS_FATAL ANY)
foreach(name ${golden})
  set(made ${OUT}/awkward/${name})
  set(wanted ${HERE}/golden/${name}.txt)
  if(DEFINED ENV{SKUA_UPDATE_GOLDEN})
    configure_file(${made} ${wanted} COPYONLY)
  endif()
  execute_process(COMMAND diff -u ${wanted} ${made} RESULT_VARIABLE differs)
  if(differs)
    message(SEND_ERROR "${name} differs from golden/${name}.txt")
  else()
    message(STATUS "${name}: as expected")
  endif()
endforeach()
