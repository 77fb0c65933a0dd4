"""Asks an OPU over gRPC with messages that are written by hand, from the protocol's
field numbers and with nothing generated: a second opinion about the wire.

usage: grpcio.py TARGET TOKEN; stdin: rows of int8, 10 each; stdout: y as complex64
"""
import struct
import sys

import grpc
import numpy as np


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(text):
    """Yields (number, value) of a message; 64-bit values as bytes."""
    at = 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            b = text[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n

    while at < len(text):
        tag = number()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, number()
            continue
        size = {1: 8, 5: 4}.get(kind) or number()
        yield tag >> 3, text[at:at + size]
        at += size


target, token = sys.argv[1:]
x = np.frombuffer(sys.stdin.buffer.read(), np.int8).reshape(-1, 10)
channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])


def call(method, message, metadata=(("authorization", "Bearer " + token),)):
    return channel.unary_unary(method)(message, metadata=metadata, timeout=60)


service = "/inference.GRPCInferenceService/"
assert dict(fields(call(service + "ServerLive", b"", ())))[1] == 1
assert dict(fields(call(service + "ServerReady", b"", ())))[1] == 1
assert dict(fields(call("/grpc.health.v1.Health/Check", b"", ())))[1] == 1
assert dict(fields(call(service + "ModelReady", field(1, b"opu"))))[1] == 1
model = dict(fields(call(service + "ModelMetadata", field(1, b"opu"))))
assert model[1] == b"opu" and model[3] == b"opu_optical", model
version = model[2]
config = dict(fields(dict(fields(call(service + "ModelConfig", field(1, b"opu"))))[1]))
assert config[1] == b"opu" and config[4] >= 1 and config[17] == b"opu", config
call(service + "CudaSharedMemoryUnregister", b"")
for method, message, metadata, want in [
    ("ModelStreamInfer", b"", None, grpc.StatusCode.UNIMPLEMENTED),
    ("ModelReady", field(1, b"other"), None, grpc.StatusCode.NOT_FOUND),
    ("ServerMetadata", b"", (("authorization", "Bearer wrong"),), grpc.StatusCode.UNAUTHENTICATED),
]:
    if metadata and target.startswith("unix:"):
        continue  # the file's mode lets in
    try:
        call(service + method, message, *([metadata] if metadata else []))
        raise AssertionError(method + " was answered")
    except grpc.RpcError as e:
        assert e.code() == want, (method, e)

shape = field(3, varint(x.shape[0]) + varint(x.shape[1]))
tensor = field(1, b"x") + field(2, b"INT8") + shape
request = field(1, b"opu") + field(2, version) + field(3, b"7") + field(5, tensor) + field(7, x.tobytes())
answer = list(fields(call(service + "ModelInfer", request)))
one = dict(answer)
assert one[1] == b"opu" and one[2] == version and one[3] == b"7", one
raw = [value for number, value in answer if number == 6]
assert len(raw) == 1
parameters = {}
for number, value in answer:
    if number == 4:
        entry = dict(fields(value))
        parameters[entry[1].decode()] = dict(fields(entry[2]))
assert parameters["epoch"][3] == b"b-fake" and struct.unpack("<d", parameters["corr"][4])[0] == 0.99, parameters
y = np.frombuffer(raw[0], np.float32).reshape(x.shape[0], -1, 2).view(np.complex64)[..., 0]
sys.stdout.buffer.write(y.tobytes())
