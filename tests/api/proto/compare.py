#!/usr/bin/env python3
"""compare.py - are our protos those that the official clients were made from?

    compare.py --ours DIR [--protoc PROTOC] [--include DIR...] [--cache DIR]

Fetches official RocketMQ 5 client packages, and gRPC's own health and reflection, from their
registries (pinned below, without their dependencies, into a cache), takes the protocol's
descriptors out of them, and compares message by message, field by field (name, number, type,
label, presence, oneof, JSON name), enum by enum and method by method. What only we have is
printed and is fine (our API is newer than most clients); what they have and we have not, or
have otherwise, is a failure: exit 1.

The cache is --cache, or $SKUA_CACHE, or ~/.cache/skua; a second run needs no network.
Needs Python's venv, npm and tar.
"""

import argparse
import ast
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap

PROTOBUF = "protobuf==6.33.5"
PYTHON_CLIENT = "rocketmq-python-client==5.1.2"
NODE_CLIENT = "rocketmq-client-nodejs@1.0.8"
HEALTH = "grpcio-health-checking==1.62.3"
REFLECTION = "grpcio-reflection==1.62.3"


# --- fetching --------------------------------------------------------------------------------


def once(cache, name, make):
    """The folder `name` of the cache; `make(folder)` fills it the first time, all or nothing."""
    folder = cache / name
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = pathlib.Path(tempfile.mkdtemp(dir=cache))
        try:
            make(fresh)
            fresh.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody else was quicker
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def fetch_pip(cache, package):
    """A package from PyPI without its dependencies, as a folder to import from."""

    def make_venv(folder):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)

    def make(folder):
        python = once(cache, "venv", make_venv) / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", folder, package], check=True)

    return once(cache, package, make)


def fetch_node(cache):
    def make(folder):
        npm = ["npm", "pack", "--silent", "--pack-destination", folder, NODE_CLIENT]
        subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)
        (archive,) = folder.glob("*.tgz")
        subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)

    return once(cache, NODE_CLIENT, make)


# --- descriptors ---------------------------------------------------------------------------------


def from_python(folder):
    """The serialized descriptors in *_pb2.py, read without running the package."""
    for path in sorted(folder.rglob("*_pb2.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                yield descriptor_pb2.FileDescriptorProto.FromString(node.args[0].value)


def from_protos(root, protoc, includes):
    """What protoc makes of the .proto files below `root`."""
    files = sorted(path.relative_to(root) for path in root.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        roots = [f"-I{folder}" for folder in [root, *includes]]
        subprocess.run([protoc, *roots, f"--descriptor_set_out={out.name}", *files], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes()).file


def json_name(field):
    head, *tail = field.name.split("_")
    return field.json_name or head + "".join(word.capitalize() for word in tail)


class Api:
    """Everything comparable in some files: {kind: {name: fact}}."""

    def __init__(self, files, package):
        self.messages, self.fields, self.enums = {}, {}, {}
        self.values, self.methods = {}, {}
        for file in files:
            if file.package != package:
                continue
            for message in file.message_type:
                self.add_message(message.name, message)
            for enum in file.enum_type:
                self.add_enum(enum.name, enum)
            for service in file.service:
                self.add_service(service)

    def rename(self, old, new):
        for kind in (self.fields, self.methods):
            for name, fact in kind.items():
                kind[name] = fact.replace(old, new)

    def add_message(self, name, message):
        self.messages[name] = "map entry" if message.options.map_entry else "message"
        for field in message.field:
            oneof = "-"
            if field.HasField("oneof_index") and not field.proto3_optional:
                oneof = message.oneof_decl[field.oneof_index].name
            self.fields[f"{name}.{field.name}"] = (
                f"number {field.number}, {field.Type.Name(field.type)} {field.type_name or '-'}, "
                f"{field.Label.Name(field.label)}, optional {field.proto3_optional}, "
                f"oneof {oneof}, json {json_name(field)}"
            )
        for nested in message.nested_type:
            self.add_message(f"{name}.{nested.name}", nested)
        for enum in message.enum_type:
            self.add_enum(f"{name}.{enum.name}", enum)

    def add_enum(self, name, enum):
        self.enums[name] = "enum"
        for value in enum.value:
            self.values[f"{name}.{value.name}"] = f"number {value.number}"

    def add_service(self, service):
        for method in service.method:
            self.methods[f"{service.name}/{method.name}"] = (
                f"{'stream ' * method.client_streaming}{method.input_type} -> "
                f"{'stream ' * method.server_streaming}{method.output_type}"
            )


# --- the comparison ------------------------------------------------------------------------------

KINDS = ("messages", "fields", "enums", "values", "methods")


def differences(ours, theirs):
    """(kind, name, our fact or None, their fact) of all that they have and we have not so."""
    for kind in KINDS:
        mine, other = getattr(ours, kind), getattr(theirs, kind)
        for name, fact in sorted(other.items()):
            if mine.get(name) != fact:
                yield kind, name, mine.get(name), fact


def ours_only(ours, theirs, kind):
    """Names that only we have, without the parts of things that only we have."""
    whole = {"fields": "messages", "values": "enums"}.get(kind)
    for name in sorted(set(getattr(ours, kind)) - set(getattr(theirs, kind))):
        if not whole or name.rpartition(".")[0] in getattr(theirs, whole):
            yield name


def sees_every_change(ours, theirs):
    """Would the comparison notice? One fact altered, and one missing, of every kind."""
    for kind in KINDS:
        facts = getattr(ours, kind)
        if not getattr(theirs, kind):
            continue
        name = next(iter(getattr(theirs, kind)))
        kept = facts[name]
        for change in ("something else", None):
            facts[name] = change
            noticed = [(kind, name)] == [found[:2] for found in differences(ours, theirs)]
            facts[name] = kept
            if not noticed:
                return False
    return True


def compare(title, ours, theirs, least_fields):
    """Print what was compared and what differs; the number of differences."""
    print(f"\n{title}")
    for kind in KINDS:
        print(f"  compared {len(getattr(theirs, kind)):4} {kind}")
    for kind in KINDS:
        extra = list(ours_only(ours, theirs, kind))
        if extra:
            text = f"ours only, {kind}: {', '.join(extra)}"
            print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="    "))
    wrong = list(differences(ours, theirs))
    for kind, name, mine, other in wrong:
        print(f"  DIFFERENT {kind}: {name}\n    ours   {mine or 'missing'}\n    theirs {other}")
    # A package that we could not read must not pass, nor a comparison that sees nothing.
    if len(theirs.fields) < least_fields:
        print("  FAILED: this package holds too little to be the protocol")
        return len(wrong) + 1
    if not wrong and not sees_every_change(ours, theirs):
        print("  FAILED: the comparison does not see a change")
        return 1
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("--ours", type=pathlib.Path, required=True, help="root of our .proto files")
    parser.add_argument("--include", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--cache", type=pathlib.Path, default=default_cache())
    args = parser.parse_args()
    load_protobuf(args.cache)

    ours = list(from_protos(args.ours, args.protoc, args.include))
    node = fetch_node(args.cache) / "package" / "proto"
    sources = [
        (PYTHON_CLIENT, None, "apache.rocketmq.v2", 200),
        (NODE_CLIENT, from_protos(node, args.protoc, args.include), "apache.rocketmq.v2", 200),
        (HEALTH, None, "grpc.health.v1", 2),
        (REFLECTION, None, "grpc.reflection.v1alpha", 20),
    ]
    wrong = 0
    for source, files, package, least_fields in sources:
        files = files or from_python(fetch_pip(args.cache, source))
        theirs = Api(files, package)
        wrong += compare(f"{source}: {package}", Api(ours, package), theirs, least_fields)
    # The same under its later name; no package of that age holds it.
    later = Api(ours, "grpc.reflection.v1")
    as_before = Api(from_python(fetch_pip(args.cache, REFLECTION)), "grpc.reflection.v1alpha")
    as_before.rename("grpc.reflection.v1alpha.", "grpc.reflection.v1.")
    wrong += compare(f"{REFLECTION}, renamed: grpc.reflection.v1", later, as_before, 20)
    print(f"\n{'FAILED' if wrong else 'OK'}: {wrong} differences")
    return 1 if wrong else 0


def default_cache():
    base = os.environ.get("SKUA_CACHE") or pathlib.Path.home() / ".cache" / "skua"
    return pathlib.Path(base) / "conformance"


def load_protobuf(cache):
    """protobuf at the version pinned here, whatever this Python has."""
    global descriptor_pb2
    sys.path.insert(0, str(fetch_pip(cache, PROTOBUF)))
    from google.protobuf import descriptor_pb2


if __name__ == "__main__":
    sys.exit(main())
