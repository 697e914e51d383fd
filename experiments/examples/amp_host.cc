// A mono amp in a host without Python: blocks of float32 from standard input to standard output.
// How it is built and fed: cpp_host.md.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "xla/pjrt/c/pjrt_c_api.h"

static const PJRT_Api* api;

// Calls one function of the API with its arguments; ends the program where it fails.
#define CALL(function, args)                                                        \
  if (PJRT_Error* error = api->function(&args)) {                                   \
    PJRT_Error_Message_Args message{PJRT_Error_Message_Args_STRUCT_SIZE};           \
    message.error = error;                                                          \
    api->PJRT_Error_Message(&message);                                              \
    std::fprintf(stderr, #function ": %.*s\n", int(message.message_size), message.message); \
    std::exit(1);                                                                   \
  }
#define ARGS(name, variable) name variable{name##_STRUCT_SIZE}

static std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

static void wait_for(PJRT_Event* event) {
  ARGS(PJRT_Event_Await_Args, await);
  await.event = event;
  CALL(PJRT_Event_Await, await);
  ARGS(PJRT_Event_Destroy_Args, destroy);
  destroy.event = event;
  CALL(PJRT_Event_Destroy, destroy);
}

static void destroy(PJRT_Buffer* buffer) {
  ARGS(PJRT_Buffer_Destroy_Args, args);
  args.buffer = buffer;
  CALL(PJRT_Buffer_Destroy, args);
}

struct Host {
  PJRT_Client* client;
  PJRT_Device* device;
  PJRT_LoadedExecutable* program;

  PJRT_Buffer* put(const void* data, const std::vector<int64_t>& shape) const {
    ARGS(PJRT_Client_BufferFromHostBuffer_Args, args);
    args.client = client;
    args.data = data;
    args.type = PJRT_Buffer_Type_F32;
    args.dims = shape.data();
    args.num_dims = shape.size();
    args.host_buffer_semantics = PJRT_HostBufferSemantics_kImmutableOnlyDuringCall;
    args.device = device;
    CALL(PJRT_Client_BufferFromHostBuffer, args);
    wait_for(args.done_with_host_buffer);
    return args.buffer;
  }

  // (params..., state, x) -> (state, y).
  void step(const std::vector<PJRT_Buffer*>& inputs, PJRT_Buffer* outputs[2]) const {
    ARGS(PJRT_ExecuteOptions, options);
    ARGS(PJRT_LoadedExecutable_Execute_Args, args);
    PJRT_Buffer* const* in = inputs.data();
    PJRT_Buffer** out = outputs;
    args.executable = program;
    args.options = &options;
    args.argument_lists = &in;
    args.num_devices = 1;
    args.num_args = inputs.size();
    args.output_lists = &out;
    CALL(PJRT_LoadedExecutable_Execute, args);
  }

  void get(PJRT_Buffer* buffer, std::vector<float>& result) const {
    ARGS(PJRT_Buffer_ToHostBuffer_Args, args);
    args.src = buffer;
    args.dst = result.data();
    args.dst_size = result.size() * sizeof(float);
    CALL(PJRT_Buffer_ToHostBuffer, args);
    wait_for(args.event);
  }
};

static Host make_host(const char* plugin, std::string module) {
  void* library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  auto* get_api = library ? (const PJRT_Api* (*)())dlsym(library, "GetPjrtApi") : nullptr;
  if (!get_api) {
    std::fprintf(stderr, "%s is no PJRT plugin: %s\n", plugin, dlerror());
    std::exit(1);
  }
  api = get_api();
  ARGS(PJRT_Plugin_Initialize_Args, initialize);
  CALL(PJRT_Plugin_Initialize, initialize);
  ARGS(PJRT_Client_Create_Args, create);
  CALL(PJRT_Client_Create, create);
  ARGS(PJRT_Client_AddressableDevices_Args, devices);
  devices.client = create.client;
  CALL(PJRT_Client_AddressableDevices, devices);
  ARGS(PJRT_Program, program);
  program.code = module.data();
  program.code_size = module.size();
  program.format = "mlir";
  program.format_size = 4;
  // A CompileOptionsProto with num_replicas = 1 and num_partitions = 1.
  static const char options[] = "\x1a\x04\x20\x01\x28\x01";
  ARGS(PJRT_Client_Compile_Args, compile);
  compile.client = create.client;
  compile.program = &program;
  compile.compile_options = options;
  compile.compile_options_size = sizeof(options) - 1;
  CALL(PJRT_Client_Compile, compile);
  return {create.client, devices.addressable_devices[0], compile.executable};
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "amp_host PLUGIN.so MODULE < in.f32 > out.f32\n");
    return 2;
  }
  const std::string base = argv[2];
  Host host = make_host(argv[1], read_file(base + ".mlirbc"));
  const std::string data = read_file(base + ".data");
  std::istringstream lines(read_file(base + ".txt"));
  std::vector<PJRT_Buffer*> inputs;
  std::vector<int64_t> shape;
  size_t used = 0;
  for (std::string type, name; lines >> type;) {
    size_t rank, size = sizeof(float);
    lines >> rank;
    shape.resize(rank);
    for (auto& n : shape) lines >> n, size *= n;
    lines >> name;
    if (name == "x") break;  // the last one
    if (used + size > data.size()) return std::fprintf(stderr, "%s.data is cut off\n", argv[2]), 1;
    inputs.push_back(host.put(data.data() + used, shape));
    used += size;
  }
  if (shape.size() != 2) return std::fprintf(stderr, "%s is no step of a mono amp\n", argv[2]), 1;
  std::vector<float> block(shape[0] * shape[1]);
  inputs.push_back(nullptr);
  while (std::fread(block.data(), sizeof(float), block.size(), stdin) == block.size()) {
    PJRT_Buffer* outputs[2];
    inputs.back() = host.put(block.data(), shape);
    host.step(inputs, outputs);
    host.get(outputs[1], block);
    destroy(inputs.back());
    destroy(outputs[1]);
    destroy(inputs[inputs.size() - 2]);
    inputs[inputs.size() - 2] = outputs[0];  // the state of the next block
    std::fwrite(block.data(), sizeof(float), block.size(), stdout);
  }
}
