"""Asks an OPU as tritonclient 2.x does, where that is not to be had: by the same libraries
(geventhttpclient, rapidjson; aiohttp for its asynchronous form), with the same requests.

usage: tritonlike.py HTTP TOKEN GROUP; stdin: rows of int8, 10 each; stdout: y as complex64
"""
import asyncio
import base64
import gzip
import os
import sys
from multiprocessing import shared_memory

import aiohttp
import gevent.pool
import numpy as np
import rapidjson
from geventhttpclient import HTTPClient

address, token, group = sys.argv[1], sys.argv[2], int(sys.argv[3])
x = np.frombuffer(sys.stdin.buffer.read(), np.int8).reshape(-1, 10)
bearer = {"Authorization": "Bearer " + token}
basic = {"Authorization": "Basic " + base64.b64encode(b"anyone:" + token.encode()).decode()}
LENGTH = "Inference-Header-Content-Length"
INFER = "v2/models/opu/infer"

client = HTTPClient.from_url("http://" + address, concurrency=4, connection_timeout=60.0, network_timeout=60.0)


def get(path, headers=bearer):
    return client.get("/" + path, headers=headers)


def post(path, body, headers=bearer):
    return client.post("/" + path, body=body, headers=dict(headers))


def known(response):
    """The JSON of an answer that must be a good one."""
    text = response.read()
    assert response.status_code == 200, (response.status_code, text)
    return rapidjson.loads(text) if text else None


def refused(response, status, words):
    """What the client makes of an answer that is an error: its message, from JSON."""
    text = response.read()
    assert response.status_code == status, (response.status_code, text)
    assert words in rapidjson.loads(text)["error"], text


def request(outputs=None, binary=True, **parameters):
    """The body and its header: compact JSON, then the bytes of x. Without outputs it
    asks for all of them as binary."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "INT8"}
    if binary:
        tensor["parameters"] = {"binary_data_size": x.nbytes}
    else:
        tensor["data"] = x.flatten().tolist()
    message = {}
    if "id" in parameters:
        message["id"] = parameters.pop("id")
    message["inputs"] = [tensor]
    if outputs:
        message["outputs"] = outputs
    else:
        parameters["binary_data_output"] = True
    if parameters:
        message["parameters"] = parameters
    text = rapidjson.dumps(message).encode()
    if not binary:
        return text, {}
    return text + x.tobytes(), {LENGTH: str(len(text))}


def tensor(status, header, body):
    """What as_numpy makes of a response."""
    assert status == 200, (status, body)
    size = header.get(LENGTH.lower()) or header.get(LENGTH)
    text, rest = (body, None) if size is None else (body[:int(size)], body[int(size):])
    (y,) = rapidjson.loads(text)["outputs"]
    if rest is None:
        values = np.array(y["data"], np.float32)
    else:
        values = np.frombuffer(rest[:y["parameters"]["binary_data_size"]], np.float32)
    return values.reshape(y["shape"]).view(np.complex64)[..., 0], rapidjson.loads(text)


def infer(body, header, extra=bearer):
    r = post(INFER, body, {**header, **extra})
    return tensor(r.status_code, {k.lower(): v for k, v in r.headers}, bytes(r.read()))


for path in ("v2/health/live", "v2/health/ready", "v2/models/opu/ready"):
    assert get(path).status_code == 200, path
assert known(get("v2"))["name"] == "opud"
assert known(get("v2/models/opu"))["outputs"][0]["datatype"] == "FP32"
assert known(get("v2/models/opu/config"))["max_batch_size"] >= 1
assert len(known(post("v2/repository/index", ""))) == 6  # an empty body, as the client sends

want, about = infer(*request(id="7"))
assert about["id"] == "7" and about["model_name"] == "opu", about
assert known(get("v2/models/opu/stats"))["model_stats"][0]["inference_count"] >= len(x)
for how in (
    request([{"name": "y", "parameters": {"binary_data": True}}]),
    request([{"name": "y", "parameters": {"binary_data": False}}]),
    request(binary=False),
    request(priority=1, timeout=10**7),
):
    assert np.array_equal(infer(*how)[0], want)
assert np.array_equal(infer(*request(), extra=basic)[0], want)

# async_infer: on greenlets, with four connections.
pool = gevent.pool.Pool(4)
for waiting in [pool.apply_async(infer, request()) for _ in range(8)]:
    assert np.array_equal(waiting.get()[0], want)

# Compression, as its arguments ask for it: of the request it is refused, of the response not needed.
body, header = request()
refused(post(INFER, gzip.compress(body), {**header, **bearer, "Content-Encoding": "gzip"}), 415, "gzip")
assert np.array_equal(infer(body, {**header, "Accept-Encoding": "gzip"})[0], want)

refused(post(INFER, body, header), 401, "token")
refused(post("v2/models/none/infer", body, {**header, **bearer}), 404, "none")
refused(get("v2/trace/setting"), 404, "cannot find")
refused(post(INFER, body[:-1], {**header, **bearer}), 400, "bytes")

# Shared memory.
size = want.nbytes
memory = shared_memory.SharedMemory("opu-tritonlike-%d" % os.getpid(), create=True, size=x.nbytes + size)
try:
    known(post("v2/systemsharedmemory/unregister", ""))
    known(post("v2/cudasharedmemory/unregister", ""))
    assert known(get("v2/systemsharedmemory/status")) == []
    region = {"key": "/" + memory.name, "offset": 0, "byte_size": x.nbytes + size}
    path = "/dev/shm/" + memory.name
    if os.getuid() == 0:  # made with mode 0600, the memory is root's alone
        refused(post("v2/systemsharedmemory/region/all/register", rapidjson.dumps(region)), 403, "group")
        os.chown(path, -1, group)
    os.chmod(path, 0o660)
    known(post("v2/systemsharedmemory/region/all/register", rapidjson.dumps(region)))
    refused(post("v2/systemsharedmemory/region/all/register", rapidjson.dumps(region)), 400, "unregister")
    memory.buf[:x.nbytes] = x.tobytes()
    shared = rapidjson.dumps({
        "inputs": [{"name": "x", "shape": list(x.shape), "datatype": "INT8",
                    "parameters": {"shared_memory_region": "all", "shared_memory_byte_size": x.nbytes}}],
        "outputs": [{"name": "y", "parameters": {
            "binary_data": False, "shared_memory_region": "all", "shared_memory_byte_size": size, "shared_memory_offset": x.nbytes}}],
    })
    (y,) = known(post(INFER, shared))["outputs"]
    assert y["shape"] == [len(x), 64, 2] and "parameters" not in y and "data" not in y, y
    got = np.frombuffer(bytes(memory.buf[x.nbytes:x.nbytes + size]), np.complex64).reshape(want.shape)
    assert np.array_equal(got, want)
    (status,) = known(get("v2/systemsharedmemory/status"))
    assert (status["name"], status["byte_size"]) == ("all", x.nbytes + size), status
    known(post("v2/systemsharedmemory/region/all/unregister", ""))
    refused(post(INFER, shared), 404, "all")
finally:
    memory.close()
    memory.unlink()
client.close()


async def asynchronous():
    """tritonclient.http.aio: bodies of bytes; larger ones may come in chunks."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4), auto_decompress=False) as session:
        async def ask(body, header):
            async with session.post("http://%s/%s" % (address, INFER), data=body, headers={**header, **bearer}) as r:
                return tensor(r.status, {k.lower(): v for k, v in r.headers.items()}, await r.read())[0]

        async def chunks(body):
            for at in range(0, len(body), 50):  # cuts JSON and rows anywhere
                yield body[at:at + 50]

        body, header = request()
        for y in await asyncio.gather(*[ask(body, header) for _ in range(8)], *[ask(chunks(body), header) for _ in range(4)]):
            assert np.array_equal(y, want)
        async with session.get("http://%s/v2/models/opu/ready" % address, headers=bearer) as r:
            assert r.status == 200


asyncio.run(asynchronous())
sys.stdout.buffer.write(np.ascontiguousarray(want).tobytes())
