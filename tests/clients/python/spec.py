"""The test message number i of a prefix, the same in every language (see ../README.md)."""


def tag(i):
    return f"tag-{i % 3}"


def keys(prefix, i):
    return {f"{prefix}-{i}", f"group-of-seven-{i // 7}"}


def properties(prefix, i):
    return {"prefix": prefix, "index": str(i), "text": f"Grüße von {prefix}, 世界 🌊 {i}"}


def body(prefix, i):
    x = 2166136261
    for byte in f"{prefix}/{i}".encode():
        x = (x ^ byte) * 16777619 & 0xFFFFFFFF
    size = 1 if i % 100 == 1 else 1 + x % (20480 if i % 8 == 0 else 1024)
    out = bytearray(size)
    for k in range(size):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out[k] = x >> 24
    return bytes(out)
