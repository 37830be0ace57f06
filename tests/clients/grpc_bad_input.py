"""Messages that are too large, are no protobuf, or go to methods that are not there.

usage: grpc_bad_input.py ADDRESS      the broker has socket.request.max.bytes=2097152
"""

import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1])


def call(method, message, stream=False):
    """The code and the text a call of raw bytes ends with."""
    try:
        if stream:
            list(channel.stream_stream(method)(iter([message]), timeout=30))
        else:
            channel.unary_unary(method)(message, timeout=30)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"{method} took it")


for stream in False, True:
    method = "/ottla.v1.Log/PublishStream" if stream else "/ottla.v1.Log/Publish"
    code, text = call(method, b"\x0a" + b"x" * (3 << 20), stream)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "socket.request.max.bytes" in text, (code, text)
    code, text = call(method, b"\xff\xff\xff\xff", stream)
    assert code == grpc.StatusCode.INTERNAL and "Protobuf" in text, (code, text)
code, text = call("/ottla.v1.Log/Nothing", b"")
assert code == grpc.StatusCode.UNIMPLEMENTED, (code, text)
code, text = call("/ottla.v2.Log/Publish", b"")
assert code == grpc.StatusCode.UNIMPLEMENTED and "ottla.v1.Log" in text, (code, text)
print("ok")
