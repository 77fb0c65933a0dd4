"""Asks an OPU with the unmodified tritonclient: HTTP, shared memory and gRPC.

usage: triton.py HTTP GRPC TOKEN; stdin: rows of int8, 10 each; stdout: y as complex64
"""
import os
import sys

import numpy as np
import tritonclient.http as http

address, grpc_address, token = sys.argv[1:]
x = np.frombuffer(sys.stdin.buffer.read(), np.int8).reshape(-1, 10)
headers = {"Authorization": "Bearer " + token}


def tensors(module):
    i = module.InferInput("x", list(x.shape), "INT8")
    i.set_data_from_numpy(x)
    return [i]


def complex64(result):
    return np.ascontiguousarray(result.as_numpy("y")).view(np.complex64)[..., 0]


c = http.InferenceServerClient(address, concurrency=4)
assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("opu", headers=headers)
assert c.get_server_metadata(headers=headers)["name"] == "opud"
assert c.get_model_metadata("opu", headers=headers)["outputs"][0]["datatype"] == "FP32"
assert c.get_model_config("opu", headers=headers)["max_batch_size"] >= 1
assert len(c.get_model_repository_index(headers=headers)) == 6
want = complex64(c.infer("opu", tensors(http), headers=headers))
assert c.get_inference_statistics("opu", headers=headers)["model_stats"][0]["inference_count"] >= len(x)

output = [http.InferRequestedOutput("y", binary_data=False)]
assert np.array_equal(complex64(c.infer("opu", tensors(http), outputs=output, headers=headers)), want)
as_json = http.InferInput("x", list(x.shape), "INT8")
as_json.set_data_from_numpy(x, binary_data=False)
assert np.array_equal(complex64(c.infer("opu", [as_json], headers=headers)), want)
for waiting in [c.async_infer("opu", tensors(http), headers=headers) for _ in range(4)]:
    assert np.array_equal(complex64(waiting.get_result()), want)
try:
    c.infer("opu", tensors(http))
    raise AssertionError("it lets in without the token")
except http.InferenceServerException as e:
    assert "token" in str(e), e

from tritonclient.utils import shared_memory  # noqa: E402

name = "/opu-triton-%d" % os.getpid()
size = len(x) * 64 * 8
region = shared_memory.create_shared_memory_region("y", name, size)
try:
    c.unregister_system_shared_memory(headers=headers)
    os.chmod("/dev/shm" + name, 0o660)
    if os.getuid() == 0:
        os.chown("/dev/shm" + name, -1, 4242)
    c.register_system_shared_memory("y", name, size, headers=headers)
    o = http.InferRequestedOutput("y")
    o.set_shared_memory("y", size)
    c.infer("opu", tensors(http), outputs=[o], headers=headers)
    y = shared_memory.get_contents_as_numpy(region, np.float32, [len(x), 64, 2])
    assert np.array_equal(y.copy().view(np.complex64)[..., 0], want)
    assert len(c.get_system_shared_memory_status(headers=headers)) == 1
    c.unregister_system_shared_memory("y", headers=headers)
finally:
    shared_memory.destroy_shared_memory_region(region)

try:
    import tritonclient.grpc as rpc
except ImportError:
    print("tritonclient has no gRPC here: not tested", file=sys.stderr)
else:
    g = rpc.InferenceServerClient(grpc_address)
    assert g.is_server_live() and g.is_model_ready("opu", headers={"authorization": headers["Authorization"]})
    assert np.array_equal(complex64(g.infer("opu", tensors(rpc), headers={"authorization": headers["Authorization"]})), want)
sys.stdout.buffer.write(want.tobytes())
