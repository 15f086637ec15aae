"""Talks TLS with itself over a pair of memory buffers, through a libssl given by path, in every way its API offers."""

import ctypes
import sys

library, certificate, key = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
ssl = ctypes.CDLL(library)

POINTER = ctypes.c_void_p
for name in ("TLS_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_f_ssl"):
    getattr(ssl, name).restype = POINTER

PEM = 1
SET_SSL = 109


def call(name, *arguments):
    converted = [POINTER(a) if isinstance(a, int) and a > 0xFFFF else a for a in arguments]
    return getattr(ssl, name)(*converted)


def endpoint(bio, role):
    context = call("SSL_CTX_new", call("TLS_method"))
    if role == "SSL_set_accept_state":
        assert call("SSL_CTX_use_certificate_file", context, certificate, PEM) == 1
        assert call("SSL_CTX_use_PrivateKey_file", context, key, PEM) == 1
    connection = call("SSL_new", context)
    call("SSL_set_bio", connection, bio, bio)
    call(role, connection)
    return connection


def write_ex(connection, data):
    count = ctypes.c_size_t()
    assert call("SSL_write_ex", connection, data, ctypes.c_size_t(len(data)), ctypes.byref(count)) == 1
    assert count.value == len(data)


def read_ex(connection):
    buffer, count = ctypes.create_string_buffer(32768), ctypes.c_size_t()
    result = call("SSL_read_ex", connection, buffer, ctypes.c_size_t(32768), ctypes.byref(count))
    return buffer.raw[: count.value] if result == 1 else None


def read(connection):
    buffer = ctypes.create_string_buffer(32768)
    count = call("SSL_read", connection, buffer, 32768)
    return buffer.raw[:count] if count > 0 else None


left, right = POINTER(), POINTER()
size = ctypes.c_size_t(1 << 20)
assert call("BIO_new_bio_pair", ctypes.byref(left), size, ctypes.byref(right), size) == 1
client = endpoint(left.value, "SSL_set_connect_state")
server = endpoint(right.value, "SSL_set_accept_state")

print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    # What is not there yet is a failed read, which must not show.
    call("SSL_do_handshake", client), call("SSL_do_handshake", server)
assert read(server) is None and read_ex(server) is None

assert call("SSL_write", client, b"plain ", 6) == 6
assert read(server) == b"plain "
write_ex(client, b"extended ")
assert read_ex(server) == b"extended "
filter_bio = call("BIO_new", call("BIO_f_ssl"))
call("BIO_ctrl", filter_bio, SET_SSL, ctypes.c_long(0), client)
assert call("BIO_write", filter_bio, b"filtered", 8) == 8
assert read(server) == b"filtered"
write_ex(server, b"x" * 40000)
answer = b""
while len(answer) < 40000:
    answer += read_ex(client)
print("done", flush=True)
